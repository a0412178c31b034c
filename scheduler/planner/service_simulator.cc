#include "scheduler/planner/service_simulator.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <queue>
#include <utility>

#include "scheduler/planner/simulated_clients.h"
#include "scheduler/planner/simulated_workers.h"

namespace tandem::scheduler {
namespace {

using Track = SimulatedSpan::Track;

// A router's part of the simulation: its engine, the step under way, its link.
struct RouterState {
  RouterState(const PipelineShape& shape, const ClusterLayout& layout, int64_t kv_blocks)
      : engine(shape, layout, kv_blocks) {}

  SimulatedRouter engine;
  std::optional<SimulatedStepWork> step;
  std::optional<Pipeline> pipeline;
  std::optional<PipelineTask> task;  // being carried out
  bool waits = false;                // for an arrival of a micro-batch
  int last_layer = -1;               // of the step's router halves
  double step_begin = 0;
  double forward_begin = 0;
  double busy_until = 0;
  double busy = 0;
  int64_t steps = 0;
  std::vector<LayerCost> costs;  // of each micro-batch, summed over layers with experts
  SimulatedLinkEnd out;
  SimulatedLinkEnd in;
};

class Service {
 public:
  Service(const PipelineShape& shape, const ClusterLayout& layout, const PartCosts& costs, int top_k,
          const LoadProfile& load, const SimulationOptions& options)
      : shape_(shape),
        layout_(layout),
        costs_(costs),
        load_(load),
        options_(options),
        moe_layers_(static_cast<double>(std::count(shape.experts.begin(), shape.experts.end(), true))),
        clients_(load),
        workers_(costs, top_k, options.max_batch_pairs) {
    for (int i = 0; i < layout.routers; ++i) {
      routers_.emplace_back(shape, layout, options.kv_blocks);
    }
  }

  SimulationResult Run() {
    Begin();
    while (!events_.empty() && result_.answered < load_.requests && result_.steps < options_.max_steps) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      Handle(event);
    }
    Finish();
    return std::move(result_);
  }

 private:
  enum class Kind : uint8_t { kRequest, kTaskDone, kStepDone, kAtWorkers, kWorkersDone, kBack };
  struct Event {
    double time = 0;
    uint64_t order = 0;  // ties go to the earlier one
    Kind kind = Kind::kRequest;
    int router = 0;
    SimulatedFrame frame;
    bool operator>(const Event& other) const { return time != other.time ? time > other.time : order > other.order; }
  };

  void Schedule(double time, Kind kind, int router, SimulatedFrame frame = {}) {
    events_.push({time, next_event_++, kind, router, frame});
  }

  void Handle(const Event& event) {
    switch (event.kind) {
      case Kind::kRequest:
        return OnRequest();
      case Kind::kTaskDone:
        return OnTaskDone(event.router);
      case Kind::kStepDone:
        return OnStepDone(event.router);
      case Kind::kAtWorkers:
        workers_.Arrive(event.frame);
        return StartWorkers();
      case Kind::kWorkersDone:
        return OnWorkersDone();
      case Kind::kBack:
        return OnBack(event.router, event.frame.micro_batch);
    }
  }

  // --- clients ------------------------------------------------------------------------------------------------------
  void Begin() {
    for (int r = 0; r < layout_.routers; ++r) {
      for (int i = 0; i < options_.warm_sequences; ++i) {
        Resume(r, i);
      }
    }
    if (load_.rate > 0) {
      Schedule(clients_.Gap(), Kind::kRequest, 0);
    } else {
      for (int i = layout_.routers * options_.warm_sequences; i < load_.concurrency; ++i) {
        Submit(clients_.NextRouter(layout_.routers));
      }
    }
    for (int r = 0; r < layout_.routers; ++r) {
      StartStep(r);
    }
  }

  void Resume(int router, int index) {
    const SimulatedRequest request = clients_.NextUnderWay(index);
    if (request.generated < request.output_tokens) {
      routers_[router].engine.Resume(request, /*last_token=*/0);
    } else {
      routers_[router].engine.Submit(request);
    }
  }

  void Submit(int router) { routers_[router].engine.Submit(clients_.Next(now_)); }

  void OnRequest() {
    const int router = clients_.NextRouter(layout_.routers);
    Submit(router);
    result_.backlog.push_back(++without_token_);
    Schedule(now_ + clients_.Gap(), Kind::kRequest, 0);
    if (!routers_[router].step.has_value()) {
      StartStep(router);
    }
  }

  // --- routers ------------------------------------------------------------------------------------------------------
  void StartStep(int r) {
    RouterState& router = routers_[r];
    router.step = router.engine.FormStep();
    if (!router.step.has_value()) {
      return;
    }
    router.pipeline.emplace(shape_, router.step->follows);
    router.costs.assign(router.step->micro_batches.size(), {});
    router.last_layer = -1;
    router.step_begin = router.forward_begin = now_;
    Continue(r);
  }

  void Continue(int r) {
    RouterState& router = routers_[r];
    const PipelineTask task = router.pipeline->Next();
    router.waits = task.kind == PipelineTask::Kind::kWait;
    if (router.waits) {
      return;
    }
    if (task.kind == PipelineTask::Kind::kDone) {
      return StartHead(r);
    }
    const double seconds = TaskSeconds(router, task);
    router.task = task;
    Occupy(router, seconds);
    Trace(r, Track::kRouter, task.kind == PipelineTask::Kind::kSharedExpert ? "shared expert" : "attention", now_,
          now_ + seconds, task.micro_batch, task.layer);
    Schedule(now_ + seconds, Kind::kTaskDone, r);
  }

  void Occupy(RouterState& router, double seconds) {
    router.busy += seconds;
    router.busy_until = now_ + seconds;
  }

  // Notes what the parts cost for the online cost model.
  double TaskSeconds(RouterState& router, const PipelineTask& task) {
    const MicroBatchWork& work = router.step->micro_batches[task.micro_batch];
    LayerCost& cost = router.costs[task.micro_batch];
    const auto tokens = static_cast<double>(work.tokens);
    double seconds = 0;
    if (task.kind == PipelineTask::Kind::kSharedExpert || router.pipeline->OwesSharedExpert(task.micro_batch)) {
      const double shared = costs_.shared.At(tokens);
      cost.shared += shared;
      seconds += shared;
    }
    if (task.kind == PipelineTask::Kind::kAdvance && task.layer < static_cast<int>(shape_.experts.size())) {
      double half = costs_.RouterLayer(work, shape_.experts[task.layer], task.layer == router.last_layer);
      router.last_layer = task.layer;
      if (costs_.experts_inside && shape_.experts[task.layer]) {
        half += costs_.experts.At(tokens);
      }
      cost.router += half;
      seconds += half;
    }
    return seconds;
  }

  void OnTaskDone(int r) {
    RouterState& router = routers_[r];
    const PipelineTask task = *std::exchange(router.task, std::nullopt);
    router.pipeline->OnDone(task);
    const bool dispatches = task.kind == PipelineTask::Kind::kAdvance &&
                            task.layer < static_cast<int>(shape_.experts.size()) && shape_.experts[task.layer];
    if (dispatches && costs_.experts_inside) {
      router.pipeline->OnArrived(task.micro_batch);
    } else if (dispatches) {
      Dispatch(r, task);
    }
    Continue(r);
  }

  void Dispatch(int r, const PipelineTask& task) {
    RouterState& router = routers_[r];
    const auto tokens = static_cast<double>(router.step->micro_batches[task.micro_batch].tokens);
    const double passed = std::max(router.out.Pass(now_, costs_.router_dispatch_wire.At(tokens)),
                                   workers_in_.Pass(now_, costs_.worker_dispatch_wire.At(tokens)));
    const double due = passed + costs_.latency + costs_.hand_off.At(tokens);
    Trace(r, Track::kDispatch, "dispatch", now_, due, task.micro_batch, task.layer);
    Schedule(due, Kind::kAtWorkers, r, {r, task.micro_batch, task.layer, tokens});
  }

  void OnBack(int r, int micro_batch) {
    RouterState& router = routers_[r];
    router.pipeline->OnArrived(micro_batch);
    if (router.waits) {
      Continue(r);
    }
  }

  // All micro-batches have left the last layer: head, sampling, handing over.
  void StartHead(int r) {
    RouterState& router = routers_[r];
    Learn(router);
    const double seconds = costs_.head.At(static_cast<double>(router.step->rows)) * (router.step->rows > 0 ? 1 : 0) +
                           costs_.step.At(static_cast<double>(router.step->sequences));
    Occupy(router, seconds);
    Trace(r, Track::kRouter, "head and sampling", now_, now_ + seconds, -1, -1);
    Schedule(now_ + seconds, Kind::kStepDone, r);
  }

  void Learn(RouterState& router) {
    std::vector<std::pair<MicroBatchLoad, LayerCost>> learned;
    for (size_t i = 0; i < router.costs.size(); ++i) {
      LayerCost cost = router.costs[i];
      for (double* part : {&cost.router, &cost.shared, &cost.expert, &cost.wire}) {
        *part /= std::max(moe_layers_, 1.0);
      }
      const MicroBatchWork& work = router.step->micro_batches[i];
      learned.emplace_back(MicroBatchLoad{.tokens = work.tokens, .has_prompt = work.prompt_tokens > 0}, cost);
    }
    router.engine.Learn(*router.step, now_ - router.forward_begin, learned);
  }

  void OnStepDone(int r) {
    RouterState& router = routers_[r];
    ++result_.steps;
    ++router.steps;
    result_.micro_batches += static_cast<int64_t>(router.step->micro_batches.size());
    result_.mean_running += static_cast<double>(router.engine.running());
    result_.step_seconds.push_back(now_ - router.step_begin);
    std::vector<TokenGap> gaps;
    std::vector<SimulatedRequest> done;
    router.engine.FinishStep(now_, gaps, done);
    for (const TokenGap& gap : gaps) {
      (gap.first ? result_.ttft : result_.itl).push_back(gap.seconds);
      result_.input_tokens += gap.prompt_tokens;
      without_token_ -= gap.first ? 1 : 0;
    }
    result_.output_tokens += static_cast<int64_t>(gaps.size());
    for (const SimulatedRequest& request : done) {
      const bool came = request.id > static_cast<uint64_t>(layout_.routers) * options_.warm_sequences;
      ++result_.completed;
      result_.answered += load_.rate == 0 || came ? 1 : 0;
      if (load_.rate == 0) {
        Submit(r);
      }
    }
    router.step.reset();
    StartStep(r);
  }

  // --- workers ------------------------------------------------------------------------------------------------------
  void StartWorkers() {
    const double seconds = workers_.Start(now_);
    if (seconds == 0) {
      return;
    }
    for (const SimulatedFrame& frame : workers_.computing()) {
      routers_[frame.router].costs[frame.micro_batch].expert += seconds;
      Trace(frame.router, Track::kWorkers, "experts", now_, now_ + seconds, frame.micro_batch, frame.layer);
    }
    Schedule(now_ + seconds, Kind::kWorkersDone, 0);
  }

  void OnWorkersDone() {
    for (const SimulatedFrame& frame : workers_.Finish()) {
      RouterState& router = routers_[frame.router];
      const double passed = std::max(router.in.Pass(now_, costs_.router_combine_wire.At(frame.tokens)),
                                     workers_out_.Pass(now_, costs_.worker_combine_wire.At(frame.tokens)));
      const double due = passed + costs_.latency + costs_.hand_off.At(frame.tokens);
      router.costs[frame.micro_batch].wire += due - now_;
      Trace(frame.router, Track::kCombine, "combine", now_, due, frame.micro_batch, frame.layer);
      Schedule(due, Kind::kBack, frame.router, frame);
    }
    StartWorkers();
  }

  // --- result -------------------------------------------------------------------------------------------------------
  void Trace(int router, Track track, const char* name, double begin, double end, int micro_batch, int layer) {
    if (router == 0 && routers_[0].steps == options_.trace_step) {
      result_.spans.push_back({track, name, begin, end, micro_batch, layer});
    }
  }

  void Finish() {
    result_.seconds = now_;
    result_.worker_seconds = workers_.busy(now_);
    result_.worker_in_seconds = workers_in_.busy();
    result_.worker_out_seconds = workers_out_.busy();
    for (const RouterState& router : routers_) {
      // Work is booked when it begins; what reaches beyond the end does not count.
      result_.router_seconds += router.busy - std::max(router.busy_until - now_, 0.0);
      result_.router_out_seconds += router.out.busy();
      result_.router_in_seconds += router.in.busy();
      result_.preemptions += router.engine.preemptions();
      result_.steps_short_of_blocks += router.engine.steps_short_of_blocks();
      result_.waiting_at_end += static_cast<double>(router.engine.waiting());
    }
    if (result_.steps > 0) {
      result_.mean_running /= static_cast<double>(result_.steps);
    }
  }

  const PipelineShape& shape_;
  const ClusterLayout& layout_;
  const PartCosts& costs_;
  const LoadProfile& load_;
  const SimulationOptions& options_;
  const double moe_layers_;

  double now_ = 0;
  uint64_t next_event_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::deque<RouterState> routers_;
  double without_token_ = 0;  // requests of an open loop
  SimulatedClients clients_;
  SimulatedWorkers workers_;
  SimulatedLinkEnd workers_in_;  // of the busiest one
  SimulatedLinkEnd workers_out_;
  SimulationResult result_;
};

}  // namespace

SimulationResult SimulateService(const PipelineShape& shape, const ClusterLayout& layout, const PartCosts& costs,
                                 int top_k, const LoadProfile& load, const SimulationOptions& options) {
  return Service(shape, layout, costs, top_k, load, options).Run();
}

}  // namespace tandem::scheduler
