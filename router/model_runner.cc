#include "router/model_runner.h"

#include <algorithm>
#include <numeric>

#include "base/status.h"

namespace tandem::router {
namespace {

constexpr int kMaxRowGroup = 256;  // rows of logits in memory at a time

const char* PhaseOf(const MicroBatchInput& input) {
  bool prefill = false;
  bool decode = false;
  for (const compute::SequenceRows& sequence : input.sequences) {
    (sequence.num_rows > 1 ? prefill : decode) = true;
  }
  return prefill && decode ? "mixed" : prefill ? "prefill" : "decode";
}

}  // namespace

using compute::DType;
using scheduler::Pipeline;
using scheduler::PipelineTask;

ModelRunner::ModelRunner(const model::Decoder& decoder, WorkerPool& workers, ExpertCounters& counters,
                         ModelRunnerOptions options, StagePlace place)
    : decoder_(decoder),
      workers_(workers),
      options_(options),
      place_(place),
      dispatcher_(decoder, workers, counters, options.dispatch_timeout),
      exchanges_(workers.num_workers()),
      tracks_(options.recorder, workers.num_workers()) {
  for (const auto& layer : decoder.spec().layers) {
    shape_.experts.push_back(layer.experts);
  }
  shape_.shared_experts = decoder.spec().shared_intermediate_size > 0;
}

absl::Status ModelRunner::Allocate() {
  compute::Backend& backend = decoder_.backend();
  const int64_t group = std::min(options_.max_sequences, kMaxRowGroup);
  ASSIGN_OR_RETURN(cache_, decoder_.AllocateKvCache(options_.num_kv_blocks, options_.kv_block_size));
  RETURN_IF_ERROR(AllocateLanes(1));
  if (!place_.head()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(logits_, backend.Allocate(DType::kF32, {group, decoder_.spec().vocab_size}));
  ASSIGN_OR_RETURN(hidden_, backend.Allocate(DType::kF32, {group, decoder_.spec().hidden_size}));
  return absl::OkStatus();
}

// Lanes beyond the first are made when they are first needed.
absl::Status ModelRunner::AllocateLanes(size_t count) {
  const int64_t most = std::max<int64_t>(options_.max_batch_tokens, kMaxRowGroup);
  while (lanes_.size() < count) {
    const int64_t share = static_cast<int64_t>(lanes_.size()) + 1;
    const int64_t tokens = (most + share - 1) / share;
    Lane lane;
    ASSIGN_OR_RETURN(lane.activations, decoder_.AllocateActivations(tokens));
    ASSIGN_OR_RETURN(lane.buffers, dispatcher_.AllocateBuffers(tokens));
    lanes_.push_back(std::move(lane));
  }
  return absl::OkStatus();
}

// The largest micro-batch gets the largest lane: the i-th largest of a step of n tokens has at most n / (i + 1).
void ModelRunner::AssignLanes(const StepInput& step) {
  std::vector<size_t> by_size(step.micro_batches.size());
  std::iota(by_size.begin(), by_size.end(), 0);
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return step.micro_batches[a].num_rows > step.micro_batches[b].num_rows; });
  lane_of_.resize(by_size.size());
  for (size_t lane = 0; lane < by_size.size(); ++lane) {
    lane_of_[by_size[lane]] = lane;
  }
}

trace::Scope ModelRunner::Traced(const char* name, const Lane& lane, int layer) const {
  return {options_.recorder,
          tracks_.router(),
          name,
          lane.phase,
          {{"layer", layer}, {"micro_batch", lane.index}, {"tokens", lane.load.tokens}}};
}

absl::Status ModelRunner::Forward(const StepInput& step) {
  if (options_.awake_cpus != nullptr) {
    options_.awake_cpus->Touch();
  }
  RETURN_IF_ERROR(AllocateLanes(step.micro_batches.size()));
  AssignLanes(step);
  report_ = {.micro_batches = static_cast<int>(step.micro_batches.size())};
  waits_.clear();
  trips_.clear();
  flights_ = 0;
  RETURN_IF_ERROR(BeginStep(step));
  RETURN_IF_ERROR(RunPipeline(step));
  EndStep(step);
  return decoder_.backend().Record()->Wait();
}

absl::Status ModelRunner::BeginStep(const StepInput& step) {
  const Stretch stretch(report_.router);
  if (place_.handover != nullptr) {
    RETURN_IF_ERROR(place_.handover->Begin(step));
  }
  if (!step.copies.empty()) {
    decoder_.CopyBlocks(cache_, step.copies);
  }
  for (size_t i = 0; i < step.micro_batches.size(); ++i) {
    const MicroBatchInput& input = step.micro_batches[i];
    Lane& lane = LaneOf(static_cast<int32_t>(i));
    lane.layout = decoder_.backend().PrepareBatch(input.sequences, options_.kv_block_size);
    lane.flight.reset();
    lane.index = static_cast<int32_t>(i);
    lane.phase = PhaseOf(input);
    lane.path = {.layers = place_.layout.LayersOf(place_.stage, input.direction),
                 .follows = input.follows,
                 .enters = place_.stage != place_.layout.FirstStage(input.direction),
                 .leaves = place_.stage != place_.layout.LastStage(input.direction)};
    lane.cost = {};
    lane.load.tokens = input.num_rows;
    lane.load.has_prompt = static_cast<int64_t>(input.sequences.size()) < input.num_rows;
    if (!lane.path.enters) {
      const trace::Scope scope = Traced("embedding", lane, 0);
      decoder_.Embed(input.ids, lane.activations);
    }
  }
  return absl::OkStatus();
}

absl::Status ModelRunner::RunPipeline(const StepInput& step) {
  std::vector<scheduler::PipelinePath> paths;
  for (size_t i = 0; i < step.micro_batches.size(); ++i) {
    paths.push_back(LaneOf(static_cast<int32_t>(i)).path);
  }
  Pipeline pipeline(shape_, std::move(paths), /*window=*/0);
  // Flights of a step that failed answer into a queue that nobody reads any more.
  const auto arrivals = std::make_shared<ArrivalQueue>(workers_.doorbell());
  const auto results = std::make_shared<ArrivalQueue>(workers_.doorbell());
  ExpectInputs(step, arrivals);
  ExpectResults(step, results);
  while (true) {
    workers_.Poll();
    while (const std::optional<int32_t> arrived = arrivals->TryPop()) {
      pipeline.OnArrived(*arrived);
    }
    const PipelineTask task = pipeline.Next();
    switch (task.kind) {
      case PipelineTask::Kind::kDone:
        return CollectResults(step, *results);
      case PipelineTask::Kind::kWait:
        WaitForArrival(*arrivals, pipeline);
        break;
      case PipelineTask::Kind::kSharedExpert:
        RunSharedExpert(LaneOf(task.micro_batch), task.layer);
        pipeline.OnDone(task);
        break;
      case PipelineTask::Kind::kAdvance:
        RETURN_IF_ERROR(Advance(step, task, pipeline.OwesSharedExpert(task.micro_batch), arrivals));
        pipeline.OnDone(task);
        break;
    }
  }
}

void ModelRunner::WaitForArrival(ArrivalQueue& arrivals, Pipeline& pipeline) {
  const trace::Scope scope(options_.recorder, tracks_.router(), flights_ > 0 ? "wait" : "wait for stages", "", {});
  const absl::Time begin = absl::Now();
  pipeline.OnArrived(arrivals.Pop([this] { workers_.Poll(); }));
  const absl::Time end = absl::Now();
  if (flights_ > 0) {
    waits_.push_back({begin, end});
  } else {
    report_.stage_wait += end - begin;
  }
}

void ModelRunner::RunSharedExpert(Lane& lane, int layer) {
  absl::Duration spent;
  {
    const Stretch stretch(spent);
    const trace::Scope scope = Traced("shared expert", lane, layer);
    decoder_.SharedExpert(layer, lane.activations);
  }
  report_.shared += spent;
  lane.cost.shared += absl::ToDoubleSeconds(spent);
}

absl::Status ModelRunner::Advance(const StepInput& step, const PipelineTask& task, bool owes_shared_expert,
                                  const std::shared_ptr<ArrivalQueue>& arrivals) {
  Lane& lane = LaneOf(task.micro_batch);
  const size_t waits_before = waits_.size();
  if (lane.flight.has_value() && owes_shared_expert) {
    RunSharedExpert(lane, task.layer - 1);
  }
  absl::Duration spent;
  {
    const Stretch stretch(spent);
    if (lane.flight.has_value()) {
      RETURN_IF_ERROR(Land(lane, task.layer - 1));
    }
    if (task.layer == lane.path.layers.begin && lane.path.enters) {
      RETURN_IF_ERROR(Enter(step, task.micro_batch));
    }
    if (task.layer == lane.path.layers.end) {
      RETURN_IF_ERROR(Leave(step, task.micro_batch));
    } else {
      RETURN_IF_ERROR(RunLayer(lane, task.layer, [arrivals, i = task.micro_batch] { arrivals->Push(i); }));
    }
  }
  for (size_t i = waits_before; i < waits_.size(); ++i) {
    spent -= waits_[i].end - waits_[i].begin;
  }
  report_.router += spent;
  lane.cost.router += absl::ToDoubleSeconds(spent);
  return absl::OkStatus();
}

// The router's half of a layer.
absl::Status ModelRunner::RunLayer(Lane& lane, int layer, std::function<void()> arrived) {
  {
    const trace::Scope scope = Traced("attention", lane, layer);
    decoder_.Attend(layer, *lane.layout, cache_, lane.activations);
    if (shape_.experts[layer]) {
      decoder_.Route(layer, lane.activations);
    }
  }
  if (!shape_.experts[layer]) {
    const trace::Scope scope = Traced("MLP", lane, layer);
    decoder_.DenseMlp(layer, lane.activations);
    return absl::OkStatus();
  }
  const trace::Scope scope = Traced("dispatch", lane, layer);
  ASSIGN_OR_RETURN(lane.flight, dispatcher_.Start(layer, lane.activations, lane.buffers, std::move(arrived)));
  ++flights_;
  // The router waits for experts inside it as for any others, but while it dispatches to them.
  for (const scheduler::TimeSpan& computed : lane.flight->ComputedInline()) {
    waits_.push_back(computed);
  }
  return absl::OkStatus();
}

// A dispatch has come back.
absl::Status ModelRunner::Land(Lane& lane, int layer) {
  ExpertFlight flight = *std::move(lane.flight);
  lane.flight.reset();
  --flights_;
  const trace::Scope scope = Traced("combine", lane, layer);
  ASSIGN_OR_RETURN(const FlightReport report, dispatcher_.Finish(std::move(flight), lane.buffers, lane.activations));
  decoder_.Combine(layer, lane.activations);
  lane.cost.expert += absl::ToDoubleSeconds(report.computed());
  lane.cost.wire += absl::ToDoubleSeconds(report.wire()) / 2;
  report_.expert += report.computed();
  report_.wire += report.wire();
  for (const FlightLeg& leg : report.legs) {
    trips_.push_back(leg.trip);
    exchanges_.Add(leg);
    tracks_.AddTrip(leg, lane.phase, layer, lane.index);
  }
  return absl::OkStatus();
}

void ModelRunner::EndStep(const StepInput& step) {
  std::vector<bool> follows;
  int most_layers = 0;
  for (int i = 0; i < report_.micro_batches; ++i) {
    const Lane& lane = LaneOf(i);
    const auto first = shape_.experts.begin() + lane.path.layers.begin;
    const auto layers = static_cast<int>(std::count(first, first + lane.path.layers.size(), true));
    scheduler::LayerCost cost = lane.cost;
    for (double* part : {&cost.router, &cost.shared, &cost.expert, &cost.wire}) {
      *part /= std::max(layers, 1);
    }
    report_.layers.emplace_back(lane.load, cost);
    follows.push_back(step.micro_batches[i].follows);
    most_layers = std::max(most_layers, layers);
  }
  report_.distinct = scheduler::DistinctShare(trips_);
  report_.waits = scheduler::SplitWaits(waits_, trips_);
  report_.exposed = scheduler::ExposedCommunication(report_, follows, most_layers, shape_.shared_experts);
  report_.ideal = scheduler::IdealTime(report_, most_layers);
}

absl::Status ModelRunner::VisitLogits(absl::Span<const RowRef> rows, RowVisitor visit) {
  return Visit(rows, logits_, visit);
}

absl::Status ModelRunner::VisitHidden(absl::Span<const RowRef> rows, RowVisitor visit) {
  return Visit(rows, hidden_, visit);
}

// One pass over lm_head for all micro-batches: it is often the largest matrix of a step.
absl::Status ModelRunner::Visit(absl::Span<const RowRef> rows, const compute::Tensor& out, RowVisitor visit) {
  compute::Backend& backend = decoder_.backend();
  const int64_t width = out.dim(1);
  const int64_t total = static_cast<int64_t>(rows.size());
  for (int64_t begin = 0; begin < total; begin += out.dim(0)) {
    const int64_t count = std::min(out.dim(0), total - begin);
    host_rows_.resize(std::max<size_t>(host_rows_.size(), count * width));
    const absl::Span<float> host = absl::MakeSpan(host_rows_).subspan(0, count * width);
    {
      const Stretch stretch(projecting_);
      const trace::Scope scope(options_.recorder, tracks_.router(), "LM head", "", {{"rows", count}});
      GatherHidden(rows.subspan(begin, count));
      if (&out == &logits_) {
        decoder_.LmHead(hidden_.Rows(0, count), logits_.Rows(0, count));
      }
      backend.Download(out.Rows(0, count), compute::WritableBytesOf(host));
      RETURN_IF_ERROR(backend.Record()->Wait());
    }
    const Stretch stretch(visiting_);
    const trace::Scope scope(options_.recorder, tracks_.router(), "sampling", "", {{"rows", count}});
    for (int64_t i = 0; i < count; ++i) {
      visit(begin + i, host.subspan(i * width, width));
    }
  }
  return absl::OkStatus();
}

void ModelRunner::GatherHidden(absl::Span<const RowRef> rows) {
  std::vector<int32_t> of_lane;
  for (size_t begin = 0; begin < rows.size(); begin += of_lane.size()) {
    const int32_t lane = rows[begin].micro_batch;
    of_lane.clear();
    for (size_t i = begin; i < rows.size() && rows[i].micro_batch == lane; ++i) {
      of_lane.push_back(rows[i].row);
    }
    decoder_.Hidden(of_lane, LaneOf(lane).activations,
                    hidden_.Rows(static_cast<int64_t>(begin), static_cast<int64_t>(of_lane.size())));
  }
}

}  // namespace tandem::router
