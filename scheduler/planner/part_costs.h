// What each part of a step takes under one layout, in seconds: from measured parts of the same model on the same device
// where there are some, otherwise from published figures by a roofline (Williams et al., CACM 2009) plus fixed
// overheads.
#pragma once

#include <cstdint>

#include "scheduler/planner/curve.h"
#include "scheduler/planner/profiles.h"

namespace tandem::scheduler {

// Processes and devices of a service. Every router is one device; workers share `worker_devices` evenly and take turns
// on a shared one.
struct ClusterLayout {
  int routers = 1;
  int workers = 1;                 // 0: experts inside every router
  int worker_devices = 0;          // 0: as many as workers
  int max_sequences = 64;          // of a router
  int64_t max_batch_tokens = 512;  // of a router's step
  int micro_batches = 0;           // 1 … 8; 0: chosen for each step
  int kv_block_size = 32;
  bool operator==(const ClusterLayout&) const = default;

  int devices_of_workers() const { return workers == 0 ? 0 : worker_devices > 0 ? worker_devices : workers; }
};

// How evenly tokens use experts.
struct RoutingProfile {
  // The busiest worker's share over the mean. 0: what uniformly random routing gives for the tokens of a call.
  double imbalance = 0;
};

// One micro-batch of one step.
struct MicroBatchWork {
  int64_t tokens = 0;
  int64_t prompt_tokens = 0;    // of them in chunks of prompts
  double decode_positions = 0;  // cached positions that decoding rows attend to, summed over rows
  double prompt_positions = 0;  // the same of prompt rows
};

struct PartCosts {
  Curve router;        // router half of a layer, apart from cached positions
  Curve router_again;  // the same right after another micro-batch's, whose weights are in the caches still
  Curve dense;         // added in a layer without experts
  Curve shared;
  Curve experts;                // one layer's routed ones on the busiest device, by the tokens of all frames
  Curve experts_again;          // the same right after others of that layer
  bool experts_inside = false;  // the router itself computes them, between the halves of a layer
  Curve hand_off;               // one way of a dispatch apart from latency and bytes
  Curve wake_up;                // added to experts that were idle for longer than `worker_spin`
  double worker_spin = 20e-6;
  double latency = 0;          // one way
  Curve router_dispatch_wire;  // occupancy of the router's link, by tokens
  Curve router_combine_wire;
  Curve worker_dispatch_wire;  // occupancy of the busiest worker's link
  Curve worker_combine_wire;
  Curve head;                  // by rows
  Curve step;                  // by sequences
  double decode_position = 0;  // per layer
  double prompt_position = 0;

  // `again`: the router's last work was of the same layer.
  double RouterLayer(const MicroBatchWork& work, bool has_experts, bool again) const;
};

// `slowdown` multiplies everything that is computed, and nothing that is sent: for a machine that runs slower than its
// profile says. `worker` is not looked at when the layout has no workers.
PartCosts MakePartCosts(const ModelProfile& model, const DeviceProfile& router, const DeviceProfile& worker,
                        const LinkProfile& link, const RoutingProfile& routing, const ClusterLayout& layout,
                        double slowdown);

// Expected number of distinct ones among `choices` items when each of `tokens` tokens picks `picks` different ones at
// random.
double ExpectedDistinct(double choices, double picks, double tokens);

// Expected largest of `bins` loads over their mean, when `items` items fall at random: normal approximation.
double ExpectedImbalance(double bins, double items);

}  // namespace tandem::scheduler
