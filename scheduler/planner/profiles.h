// What the planner knows of a model, of devices and of links: plain numbers. Bytes, seconds, floating-point operations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/planner/curve.h"

namespace tandem::scheduler {

// One token's use of a layer's attention, apart from the cache.
struct AttentionProfile {
  double parameters = 0;           // matrices of one layer
  double cache_bytes = 0;          // of one position in one layer
  double operations_position = 0;  // of one query row against one cached position
};

struct ModelProfile {
  std::string name;
  std::vector<bool> experts;  // of each layer: true where it has routed experts
  int64_t hidden_size = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 0;
  AttentionProfile attention;
  int num_experts = 0;
  int top_k = 0;
  double expert_parameters = 0;     // of one routed expert
  double shared_parameters = 0;     // shared experts of one layer
  double dense_parameters = 0;      // MLP of a layer without experts
  double gate_parameters = 0;       // kept in f32
  double embedding_parameters = 0;  // of embedding and head, counted once where they are tied
  double weight_bytes = 0;          // of one parameter
  double dispatch_bytes = 0;        // of one element sent to experts
  double combine_bytes = 0;         // of one element sent back

  int num_layers() const { return static_cast<int>(experts.size()); }
  int moe_layers() const;
  // What tells shapes apart, as text: measured parts hold for models of one shape and dtype.
  std::string Shape() const;
  double router_weight_bytes() const;  // everything but routed experts
  double routed_weight_bytes() const;  // all routed experts of all layers
  double cache_bytes_per_token() const { return num_layers() * attention.cache_bytes; }
};

// What one micro-batch's parts were measured to take on a device, for one model: seconds, by tokens unless said
// otherwise.
struct MeasuredParts {
  Curve
      router;  // router half of a layer: norms, projections, gate, dispatch to one worker, combine; no cached positions
  Curve shared;          // shared experts of a layer
  Curve experts;         // a layer's routed experts, all of them on one worker that has not slept
  Curve inline_experts;  // a layer's routed experts inside the router, with what handing over costs there
  Curve hand_off;        // both ways of a dispatch that no network delays, between threads that are awake
  Curve wake_up;         // longer, where the worker slept before
  // router and experts where the micro-batch before was in the same layer: its weights are in the caches. Empty: no
  // difference. Not used behind a network, where waking up for every frame was measured to cost what the caches save.
  Curve router_again;
  Curve experts_again;
  // Where threads sleep for milliseconds between frames, as they do behind a slow network: waking up, cold caches.
  Curve network_router;
  Curve network_experts;
  Curve network_hand_off;      // without the network's latency
  Curve router_frame;          // on the router for each worker beyond the first
  Curve worker_frame;          // on the workers' device for each worker beyond the first that takes turns on it
  double decode_position = 0;  // one row against one cached position of a layer, decoding
  double prompt_position = 0;  // the same in a prompt chunk
  Curve head;                  // last norm, lm_head and sampling, by rows
  Curve step;                  // planning, handing tokens over, by sequences
  // Of the reference layouts of `tandem bench layouts` at that time, by kind; 0: not measured.
  double reference_step = 0;
  double inside_reference_step = 0;
  double cut_reference_step = 0;
};

struct DeviceProfile {
  std::string name;
  double memory_bytes = 0;
  double memory_bandwidth = 0;      // bytes/s
  double bandwidth_share = 1;       // of it that kernels reach
  double operations = 0;            // per second, dense, at the model's weight dtype
  double operations_share = 1;      // of it that kernels reach
  double attention_operations = 0;  // per second, at the dtype attention is computed in
  double router_overhead = 0;       // fixed seconds of a layer's router half: launches, gate, packing
  double expert_overhead = 0;       // fixed seconds of one grouped expert call
  double step_overhead = 0;         // fixed seconds of a step: planning, sampling
  double sequence_overhead = 0;     // seconds of a step for each sequence
  double price_per_hour = 0;
  std::vector<std::pair<std::string, MeasuredParts>> measured;  // by ModelProfile::Shape
};

struct LinkProfile {
  std::string name;
  double latency = 0;           // one way, seconds
  double bytes_per_second = 0;  // of one device in each direction; 0: unlimited
  double bandwidth_share = 1;   // of it that frames reach
  double frame_overhead = 0;    // seconds until a dispatch or combine that is handed over leaves: packing, posting
};

}  // namespace tandem::scheduler
