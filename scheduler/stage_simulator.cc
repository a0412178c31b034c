#include "scheduler/stage_simulator.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <queue>
#include <tuple>

namespace tandem::scheduler {
namespace {

// What happens next, in the order of time.
struct Event {
  enum class Kind : uint8_t { kArrival, kDone };
  double time = 0;
  Kind kind = Kind::kArrival;
  int stage = 0;
  int32_t micro_batch = 0;

  bool operator>(const Event& other) const {
    return std::tie(time, kind, stage, micro_batch) > std::tie(other.time, other.kind, other.stage, other.micro_batch);
  }
};

// One run. Micro-batch i of step n is number n * count + i.
class Run {
 public:
  Run(const StageSimulation& simulation, absl::Span<const SimulatedMicroBatch> micro_batches)
      : simulation_(simulation), layout_(simulation.layout), micro_batches_(micro_batches) {
    for (int stage = 0; stage < layout_.num_stages; ++stage) {
      stages_.push_back({.pipeline = std::make_unique<Pipeline>(simulation.shape, Paths(stage), simulation.window)});
    }
    worker_free_.resize(simulation.workers_of_stage ? layout_.num_stages : 1, 0);
    result_.router_busy.resize(layout_.num_stages, 0);
    result_.most_resident.resize(layout_.num_stages, 0);
  }

  SimulatedStages Simulate() {
    for (int32_t i = 0; i < count(); ++i) {
      Begin(i, 0);
    }
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      event.kind == Event::Kind::kArrival ? OnArrival(event) : OnDone(event.stage);
      // All that happens at a time is known before anything is decided.
      for (int stage = 0; stage < layout_.num_stages && (events_.empty() || events_.top().time > now_); ++stage) {
        Decide(stage);
      }
    }
    return std::move(result_);
  }

 private:
  struct Stage {
    std::unique_ptr<Pipeline> pipeline;
    bool busy = false;
    PipelineTask task;       // under way while busy
    std::vector<bool> here;  // micro-batches that have come
    int resident = 0;
  };

  int32_t count() const { return static_cast<int32_t>(micro_batches_.size()); }
  const SimulatedMicroBatch& Of(int32_t number) const { return micro_batches_[number % count()]; }

  std::vector<PipelinePath> Paths(int stage) const {
    std::vector<PipelinePath> paths;
    for (int32_t number = 0; number < simulation_.steps * count(); ++number) {
      paths.push_back({.layers = layout_.LayersOf(stage, Of(number).direction),
                       .follows = Of(number).follows,
                       .enters = true,
                       .leaves = simulation_.rolling || stage != layout_.LastStage(Of(number).direction)});
    }
    return paths;
  }

  void Begin(int32_t number, double time) { Arrive(time, layout_.FirstStage(Of(number).direction), number); }

  void Arrive(double time, int stage, int32_t number) {
    events_.push({.time = time, .kind = Event::Kind::kArrival, .stage = stage, .micro_batch = number});
  }

  // Hidden states from the stage before, or outputs of experts.
  void OnArrival(const Event& event) {
    Stage& stage = stages_[event.stage];
    stage.here.resize(static_cast<size_t>(simulation_.steps) * count());
    if (!stage.here[event.micro_batch]) {
      stage.here[event.micro_batch] = true;
      result_.most_resident[event.stage] = std::max(result_.most_resident[event.stage], ++stage.resident);
    }
    stage.pipeline->OnArrived(event.micro_batch);
  }

  void Decide(int index) {
    Stage& stage = stages_[index];
    if (stage.busy) {
      return;
    }
    stage.task = stage.pipeline->Next();
    if (stage.task.kind != PipelineTask::Kind::kAdvance && stage.task.kind != PipelineTask::Kind::kSharedExpert) {
      return;
    }
    stage.busy = true;
    const double seconds = Cost(stage);
    result_.router_busy[index] += seconds;
    events_.push({.time = now_ + seconds, .kind = Event::Kind::kDone, .stage = index});
  }

  double Cost(const Stage& stage) const {
    const LayerCost& cost = Of(stage.task.micro_batch).cost;
    if (stage.task.kind == PipelineTask::Kind::kSharedExpert) {
      return cost.shared;
    }
    const double owed = stage.pipeline->OwesSharedExpert(stage.task.micro_batch) ? cost.shared : 0;
    return owed + (Ends(stage) ? 0 : cost.router);
  }

  bool Ends(const Stage& stage) const {
    const int index = static_cast<int>(&stage - stages_.data());
    return stage.task.layer == layout_.LayersOf(index, Of(stage.task.micro_batch).direction).end;
  }

  void OnDone(int index) {
    Stage& stage = stages_[index];
    const PipelineTask task = stage.task;
    stage.busy = false;
    stage.pipeline->OnDone(task);
    if (task.kind == PipelineTask::Kind::kAdvance) {
      if (Ends(stage)) {
        --stage.resident;
        Leave(index, task.micro_batch);
      } else if (simulation_.shape.experts[task.layer]) {
        Dispatch(index, task.micro_batch);
      }
    }
  }

  void Dispatch(int index, int32_t number) {
    const LayerCost& cost = Of(number).cost;
    double& free = worker_free_[simulation_.workers_of_stage ? index : 0];
    free = std::max(free, now_ + cost.wire) + cost.expert;
    result_.workers_busy += cost.expert;
    Arrive(free + cost.wire, index, number);
  }

  void Leave(int index, int32_t number) {
    const int direction = Of(number).direction;
    if (index != layout_.LastStage(direction)) {
      Arrive(now_ + simulation_.handover, index + (direction == 0 ? 1 : -1), number);
      return;
    }
    const double finished = now_ + (index == 0 ? 0 : simulation_.handover);
    result_.seconds = std::max(result_.seconds, finished);
    ++finished_;
    const int32_t next = number + count();
    if (simulation_.rolling && next < simulation_.steps * count()) {
      Begin(next, finished);
    }
    if (!simulation_.rolling && finished_ % count() == 0 && finished_ < simulation_.steps * count()) {
      for (int32_t i = finished_; i < finished_ + count(); ++i) {
        Begin(i, result_.seconds);
      }
    }
  }

  const StageSimulation& simulation_;
  const StageLayout layout_;
  const absl::Span<const SimulatedMicroBatch> micro_batches_;
  std::vector<Stage> stages_;
  std::vector<double> worker_free_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  double now_ = 0;
  int32_t finished_ = 0;
  SimulatedStages result_;
};

}  // namespace

double SimulatedStages::bubble() const {
  const double busy = std::accumulate(router_busy.begin(), router_busy.end(), 0.0);
  return seconds > 0 ? 1 - busy / (seconds * static_cast<double>(router_busy.size())) : 0;
}

SimulatedStages SimulateStages(const StageSimulation& simulation, absl::Span<const SimulatedMicroBatch> micro_batches) {
  return Run(simulation, micro_batches).Simulate();
}

}  // namespace tandem::scheduler
