#include "scheduler/planner/plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::scheduler {
namespace {

constexpr double kBusy = 0.85;   // a resource that is used so much is what binds
constexpr double kGrowth = 0.1;  // of arrivals that may be left behind
constexpr int kWarmIterations = 3;

absl::Status Check(const PlanInput& input) {
  const LoadProfile& load = input.load;
  const auto longest =
      static_cast<int64_t>(static_cast<double>(load.prompt_tokens + load.output_tokens) * (1 + load.length_spread));
  if (input.model.max_positions > 0 && longest > input.model.max_positions) {
    return absl::InvalidArgumentError(absl::StrCat(
        "requests of up to ", longest, " tokens exceed the model's context of ", input.model.max_positions));
  }
  if (input.layout.worker_devices > input.layout.workers) {
    return absl::InvalidArgumentError(
        absl::StrCat(input.layout.workers, " workers cannot fill ", input.layout.worker_devices, " devices"));
  }
  return absl::OkStatus();
}

double Ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

// One prediction under way.
class Prediction {
 public:
  Prediction(const PlanInput& input, const MemoryPlan& memory)
      : input_(input),
        costs_(MakePartCosts(input.model, input.router, input.worker, input.link, input.routing, input.layout,
                             input.slowdown)) {
    shape_.experts = input.model.experts;
    shape_.shared_experts = input.model.shared_parameters > 0;
    options_.kv_blocks = memory.kv_blocks;
    options_.trace_step = input.trace_step;
    options_.max_steps = input.max_steps;
  }

  PlanResult Run() {
    PlanResult result;
    options_.warm_sequences = input_.load.warm ? WarmSequences() : 0;
    result.simulation = Simulate(input_.load, options_);
    Summarise(result);
    return result;
  }

 private:
  SimulationResult Simulate(const LoadProfile& load, const SimulationOptions& options) const {
    return SimulateService(shape_, input_.layout, costs_, input_.model.top_k, load, options);
  }

  // That fit a router's cache, half of their answers there on average but all of them to come.
  int64_t MostSequences() const {
    const LoadProfile& load = input_.load;
    const int64_t longest =
        std::llround(static_cast<double>(load.prompt_tokens + load.output_tokens) * (1 + load.length_spread));
    const int64_t blocks = (longest + input_.layout.kv_block_size - 1) / input_.layout.kv_block_size;
    return std::max<int64_t>(std::min<int64_t>(input_.layout.max_sequences, options_.kv_blocks / blocks), 1);
  }

  // Sequences of each router that the load keeps decoding: by Little's law, with the step time at that number.
  int WarmSequences() const {
    const int64_t most = MostSequences();
    if (input_.load.output_tokens <= 1) {
      return 0;
    }
    if (input_.load.rate == 0) {
      return static_cast<int>(std::min<int64_t>(most, input_.load.concurrency / input_.layout.routers));
    }
    const double answers = input_.load.rate * static_cast<double>(input_.load.output_tokens) / input_.layout.routers;
    double running = 1;
    for (int i = 0; i < kWarmIterations; ++i) {
      LoadProfile load = input_.load;
      load.rate = 0;
      load.concurrency = static_cast<int>(running) * input_.layout.routers;
      SimulationOptions options = options_;
      options.trace_step = -1;
      options.warm_sequences = static_cast<int>(running);
      options.max_steps = 8 * input_.layout.routers;
      const SimulationResult probe = Simulate(load, options);
      running = std::clamp(answers * PercentilesOf(probe.itl).p50, 1.0, static_cast<double>(most));
    }
    return static_cast<int>(running);
  }

  void Summarise(PlanResult& result) const {
    const SimulationResult& simulation = result.simulation;
    const double seconds = simulation.seconds;
    const double routers = input_.layout.routers;
    result.ttft = PercentilesOf(simulation.ttft);
    result.itl = PercentilesOf(simulation.itl);
    result.step = PercentilesOf(simulation.step_seconds);
    result.requests_per_second = Ratio(static_cast<double>(simulation.completed), seconds);
    result.input_tokens_per_second = Ratio(static_cast<double>(simulation.input_tokens), seconds);
    result.output_tokens_per_second = Ratio(static_cast<double>(simulation.output_tokens), seconds);
    result.router_utilisation = Ratio(simulation.router_seconds, seconds * routers);
    result.worker_utilisation = Ratio(simulation.worker_seconds, seconds);
    result.wire_utilisation =
        Ratio(std::max({simulation.router_out_seconds / routers, simulation.router_in_seconds / routers,
                        simulation.worker_in_seconds, simulation.worker_out_seconds}),
              seconds);
    result.mean_sequences = simulation.mean_running;
    result.mean_micro_batches =
        Ratio(static_cast<double>(simulation.micro_batches), static_cast<double>(simulation.steps));
    result.mean_waiting = simulation.waiting_at_end;
    result.preemptions = simulation.preemptions;
    result.steps = simulation.steps;
    result.keeps_up = KeepsUp(simulation);
    result.bottleneck = Bottleneck(result);
    AddPrices(result);
  }

  // Whether requests get their first token as fast as they come: their backlog in the last quarter of the arrivals is
  // not much longer than in the second one.
  bool KeepsUp(const SimulationResult& simulation) const {
    const std::vector<double>& backlog = simulation.backlog;
    const size_t quarter = backlog.size() / 4;
    if (quarter == 0) {
      return true;
    }
    const auto mean = [&](size_t begin) {
      return std::accumulate(backlog.begin() + static_cast<int64_t>(begin),
                             backlog.begin() + static_cast<int64_t>(begin + quarter), 0.0) /
             static_cast<double>(quarter);
    };
    const double growth = mean(backlog.size() - quarter) - mean(quarter);
    return growth <= std::max(kGrowth * 2 * static_cast<double>(quarter), 3.0);
  }

  std::string Bottleneck(const PlanResult& result) const {
    const double busiest = std::max({result.router_utilisation, result.worker_utilisation, result.wire_utilisation});
    const bool full = busiest >= kBusy || !result.keeps_up;
    if (result.simulation.steps_short_of_blocks * 2 > result.steps) {
      return "KV cache: requests wait for memory of the routers";
    }
    if (full && busiest == result.router_utilisation) {
      return "routers: attention, shared experts and head";
    }
    if (full && busiest == result.worker_utilisation) {
      return "expert workers";
    }
    if (full && busiest == result.wire_utilisation) {
      return "network bandwidth";
    }
    if (input_.load.rate > 0 && result.keeps_up) {
      return "none: the load is served with room to spare";
    }
    return "latency: steps wait for round trips that too little work hides";
  }

  void AddPrices(PlanResult& result) const {
    result.price_per_hour = input_.layout.routers * input_.router.price_per_hour +
                            input_.layout.devices_of_workers() * input_.worker.price_per_hour;
    const double per_second = result.price_per_hour / 3600;
    result.price_per_million_input = Ratio(per_second * 1e6, result.input_tokens_per_second);
    result.price_per_million_output = Ratio(per_second * 1e6, result.output_tokens_per_second);
  }

  const PlanInput& input_;
  const PartCosts costs_;
  PipelineShape shape_;
  SimulationOptions options_;
};

}  // namespace

Percentiles PercentilesOf(std::vector<double> values) {
  if (values.empty()) {
    return {};
  }
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<size_t>(std::ceil(share * static_cast<double>(values.size()))) - 1];
  };
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return {.mean = sum / static_cast<double>(values.size()), .p50 = at(0.5), .p90 = at(0.9), .p99 = at(0.99)};
}

absl::StatusOr<PlanResult> Predict(const PlanInput& input) {
  RETURN_IF_ERROR(Check(input));
  ASSIGN_OR_RETURN(const MemoryPlan memory, PlanMemory(input));
  PlanResult result = Prediction(input, memory).Run();
  result.memory = memory;
  return result;
}

}  // namespace tandem::scheduler
