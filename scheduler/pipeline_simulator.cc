#include "scheduler/pipeline_simulator.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

namespace tandem::scheduler {

SimulatedStep SimulateStep(const PipelineShape& shape, const std::vector<bool>& follows,
                           absl::Span<const LayerCost> costs) {
  using Arrival = std::pair<double, int32_t>;  // time, micro-batch
  std::priority_queue<Arrival, std::vector<Arrival>, std::greater<>> arrivals;
  const auto layers = static_cast<int32_t>(shape.experts.size());
  Pipeline pipeline(shape, follows);
  SimulatedStep step;
  double workers_free = 0;
  while (true) {
    while (!arrivals.empty() && arrivals.top().first <= step.seconds) {
      pipeline.OnArrived(arrivals.top().second);
      arrivals.pop();
    }
    const PipelineTask task = pipeline.Next();
    if (task.kind == PipelineTask::Kind::kDone) {
      return step;
    }
    if (task.kind == PipelineTask::Kind::kWait) {
      step.seconds = arrivals.top().first;
      continue;
    }
    const LayerCost& cost = costs[task.micro_batch];
    double busy = task.kind == PipelineTask::Kind::kSharedExpert || pipeline.OwesSharedExpert(task.micro_batch)
                      ? cost.shared
                      : 0;
    if (task.kind == PipelineTask::Kind::kAdvance && task.layer < layers) {
      busy += cost.router;
    }
    step.seconds += busy;
    step.router_busy += busy;
    pipeline.OnDone(task);
    if (task.kind == PipelineTask::Kind::kAdvance && task.layer < layers && shape.experts[task.layer]) {
      workers_free = std::max(workers_free, step.seconds + cost.wire) + cost.expert;
      step.workers_busy += cost.expert;
      arrivals.emplace(workers_free + cost.wire, task.micro_batch);
    }
  }
}

}  // namespace tandem::scheduler
