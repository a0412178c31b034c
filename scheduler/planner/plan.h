// `tandem plan`: what a service of some layout would do under some load, simulated with the code that would run it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/planner/load.h"
#include "scheduler/planner/part_costs.h"
#include "scheduler/planner/profiles.h"
#include "scheduler/planner/service_simulator.h"

namespace tandem::scheduler {

struct PlanInput {
  ModelProfile model;
  DeviceProfile router;  // what routers run on
  DeviceProfile worker;  // what workers run on; unused when the layout has none
  LinkProfile link;
  RoutingProfile routing;
  ClusterLayout layout;
  LoadProfile load;
  double slowdown = 1;         // multiplies everything that is computed
  double usable_memory = 0.9;  // share of a device's memory for weights and KV cache
  int64_t trace_step = -1;     // of router 0, whose timeline is kept; -1: none
  int64_t max_steps = 20000;   // of all routers: bounds the time a prediction takes
};

struct MemoryPlan {
  double router_weights = 0;  // bytes of one router
  double worker_weights = 0;  // bytes on one workers' device
  double kv_cache = 0;        // bytes left on one router
  int64_t kv_tokens = 0;      // of one router, at most what its sequences can hold
  int64_t kv_blocks = 0;
};

// Errors: RESOURCE_EXHAUSTED saying on what, by how much, and what would help.
absl::StatusOr<MemoryPlan> PlanMemory(const PlanInput& input);

struct Percentiles {
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
};
Percentiles PercentilesOf(std::vector<double> values);  // zeros for none

struct PlanResult {
  MemoryPlan memory;
  Percentiles ttft;  // seconds
  Percentiles itl;
  Percentiles step;
  double requests_per_second = 0;
  double input_tokens_per_second = 0;  // those found in the prefix cache among them
  double output_tokens_per_second = 0;
  double router_utilisation = 0;  // of the routers' computing time
  double worker_utilisation = 0;
  double wire_utilisation = 0;  // of the busiest end of a link
  double mean_sequences = 0;    // running on a router
  double mean_micro_batches = 0;
  double mean_waiting = 0;  // of all routers, at the end
  int64_t preemptions = 0;
  int64_t steps = 0;
  std::string bottleneck;     // a phrase for people
  bool keeps_up = true;       // open loop: answers as fast as requests come
  double price_per_hour = 0;  // of all devices; 0 where prices are unknown
  // Price over tokens when all of it is put on one kind; 0 where there are none or prices are unknown.
  double price_per_million_input = 0;
  double price_per_million_output = 0;
  SimulationResult simulation;
};

// Deterministic. Errors: those of PlanMemory; INVALID_ARGUMENT when a request is longer than the model or its step
// allows.
absl::StatusOr<PlanResult> Predict(const PlanInput& input);

}  // namespace tandem::scheduler
