// A whole service, simulated: routers, workers, the links between them, and clients. Discrete events; the order within
// a step is decided by the very Pipeline that drives real routers. Links are cut through: a frame occupies the router's
// and the workers' end at the same time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/pipeline.h"
#include "scheduler/planner/load.h"
#include "scheduler/planner/part_costs.h"
#include "scheduler/planner/simulated_router.h"

namespace tandem::scheduler {

// Something that took time, for a timeline.
struct SimulatedSpan {
  enum class Track : uint8_t { kRouter, kDispatch, kWorkers, kCombine };
  Track track = Track::kRouter;
  std::string name;
  double begin = 0;
  double end = 0;
  int micro_batch = 0;  // -1: of none
  int layer = 0;        // -1: of none
};

struct SimulationOptions {
  int64_t kv_blocks = 0;        // of each router
  int max_batch_pairs = 16384;  // of one grouped expert call
  int warm_sequences = 0;       // of each router, in the middle of their answers at time zero
  int64_t max_steps = 20000;    // of all routers; ends the simulation at the latest
  int64_t trace_step = -1;      // of router 0, whose spans are recorded; -1: none
};

struct SimulationResult {
  double seconds = 0;
  int64_t steps = 0;
  int64_t micro_batches = 0;
  int64_t input_tokens = 0;  // prompts of requests that got their first token, what the prefix cache gave among them
  int64_t output_tokens = 0;
  int64_t completed = 0;  // answers, those among them that were under way at the beginning
  int64_t answered = 0;   // what the end waits for: in open loops those that came during the simulation
  int64_t preemptions = 0;
  int64_t steps_short_of_blocks = 0;
  double router_seconds = 0;      // busy, summed over routers
  double worker_seconds = 0;      // busy, of the group
  double router_out_seconds = 0;  // occupancy of links: of routers, summed, and of the busiest worker
  double router_in_seconds = 0;
  double worker_in_seconds = 0;
  double worker_out_seconds = 0;
  double mean_running = 0;  // sequences of a router, over steps
  double waiting_at_end = 0;
  // Open loop: at each arrival, the requests that have come and have no first token yet.
  std::vector<double> backlog;
  std::vector<double> ttft;
  std::vector<double> itl;
  std::vector<double> step_seconds;
  std::vector<SimulatedSpan> spans;
};

// Deterministic. `kv_blocks` suffice for the longest request.
SimulationResult SimulateService(const PipelineShape& shape, const ClusterLayout& layout, const PartCosts& costs,
                                 int top_k, const LoadProfile& load, const SimulationOptions& options);

}  // namespace tandem::scheduler
