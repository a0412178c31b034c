// Runs one step through the model: its micro-batches go through the layers as scheduler::Pipeline says, each with its
// own working memory; then the rows that are wanted at the end. Owns KV cache and working memory.
//
// With pipeline stages it computes the layers of its stage: micro-batches also come from and go to other stages
// (StageHandover), and the head gets the final hidden states of the wanted rows back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "base/awake_cpus.h"
#include "model/decoder.h"
#include "base/trace.h"
#include "router/arrival_queue.h"
#include "router/exchange_counters.h"
#include "router/expert_dispatcher.h"
#include "router/stage_handover.h"
#include "router/step_tracks.h"
#include "scheduler/pipeline.h"
#include "scheduler/step_report.h"

namespace tandem::router {

struct ModelRunnerOptions {
  int64_t max_batch_tokens = 512;
  int max_sequences = 64;
  int64_t num_kv_blocks = 0;
  int kv_block_size = compute::kAttentionTile;
  absl::Duration dispatch_timeout = absl::Seconds(30);
  trace::Recorder* recorder = nullptr;  // must outlive the runner
  AwakeCpus* awake_cpus = nullptr;      // touched with every step; must outlive the runner
};

using StepInput = transport::StageStep;
using MicroBatchInput = transport::StageMicroBatch;

struct RowRef {
  int32_t micro_batch = 0;
  int32_t row = 0;
};

// Not thread-safe: belongs to the engine's thread. `decoder` and `workers` must outlive it.
class ModelRunner {
 public:
  ModelRunner(const model::Decoder& decoder, WorkerPool& workers, ExpertCounters& counters, ModelRunnerOptions options,
              StagePlace place);

  // Errors: RESOURCE_EXHAUSTED.
  absl::Status Allocate();

  // Computes a step and, on the head, leaves its final hidden states. Errors: UNAVAILABLE (a worker or a stage was lost),
  // DEADLINE_EXCEEDED, CANCELLED (the head gave the step up), or what a worker or the device said; the step's KV entries
  // are then undefined.
  absl::Status Forward(const StepInput& step);

  // Of rows of the last step, ascending by micro-batch. The row handed over belongs to the callee until it returns.
  using RowVisitor = absl::FunctionRef<void(int64_t index, absl::Span<float> row)>;
  absl::Status VisitLogits(absl::Span<const RowRef> rows, RowVisitor visit);  // [vocab_size]
  absl::Status VisitHidden(absl::Span<const RowRef> rows, RowVisitor visit);  // [hidden_size]

  const scheduler::PipelineShape& shape() const { return shape_; }
  const StagePlace& place() const { return place_; }

  // Of the last Forward.
  const scheduler::StepReport& report() const { return report_; }

  // Time spent so far in visitors, and in computing what they visit.
  absl::Duration visiting() const { return visiting_; }
  absl::Duration projecting() const { return projecting_; }

  const ExchangeCounters& exchanges() const { return exchanges_; }

 private:
  // One micro-batch under way.
  struct Lane {
    model::Activations activations;
    DispatchBuffers buffers;
    std::unique_ptr<compute::BatchLayout> layout;
    std::optional<ExpertFlight> flight;
    int32_t index = 0;
    const char* phase = "";  // in traces
    scheduler::PipelinePath path;
    scheduler::MicroBatchLoad load;
    scheduler::LayerCost cost;  // summed over layers
  };

  // Adds its lifetime, a stretch of the engine's time, to a total.
  class Stretch {
   public:
    explicit Stretch(absl::Duration& total) : total_(total) {}
    Stretch(const Stretch&) = delete;
    ~Stretch() { total_ += absl::Now() - begin_; }

   private:
    absl::Duration& total_;
    const absl::Time begin_ = absl::Now();
  };

  absl::Status AllocateLanes(size_t count);
  void AssignLanes(const StepInput& step);
  Lane& LaneOf(int32_t micro_batch) { return lanes_[lane_of_[micro_batch]]; }
  // A stretch of the engine's time in the trace.
  trace::Scope Traced(const char* name, const Lane& lane, int layer) const;
  absl::Status BeginStep(const StepInput& step);
  absl::Status RunPipeline(const StepInput& step);
  void WaitForArrival(ArrivalQueue& arrivals, scheduler::Pipeline& pipeline);
  void EndStep(const StepInput& step);
  absl::Status Advance(const StepInput& step, const scheduler::PipelineTask& task, bool owes_shared_expert,
                       const std::shared_ptr<ArrivalQueue>& arrivals);
  absl::Status RunLayer(Lane& lane, int layer, std::function<void()> arrived);

  // Other stages (model_runner_stages.cc).
  bool AwaitsResult(const MicroBatchInput& input) const;
  void ExpectInputs(const StepInput& step, const std::shared_ptr<ArrivalQueue>& arrivals);
  void ExpectResults(const StepInput& step, const std::shared_ptr<ArrivalQueue>& results);
  absl::Status Enter(const StepInput& step, int32_t micro_batch);
  absl::Status Leave(const StepInput& step, int32_t micro_batch);
  absl::Status CollectResults(const StepInput& step, ArrivalQueue& results);
  absl::StatusOr<transport::FrameBuffer> TakeRows(const StepInput& step, int32_t micro_batch, int64_t rows);

  absl::Status Land(Lane& lane, int layer);
  void RunSharedExpert(Lane& lane, int layer);
  absl::Status Visit(absl::Span<const RowRef> rows, const compute::Tensor& out, RowVisitor visit);
  void GatherHidden(absl::Span<const RowRef> rows);

  const model::Decoder& decoder_;
  WorkerPool& workers_;
  const ModelRunnerOptions options_;
  const StagePlace place_;
  scheduler::PipelineShape shape_;
  ExpertDispatcher dispatcher_;
  model::KvCache cache_;
  std::vector<Lane> lanes_;        // lane i has room for a step's share of i + 1 micro-batches of one size
  std::vector<size_t> lane_of_;    // of each micro-batch
  int flights_ = 0;                // under way
  compute::Tensor hidden_;  // [group of rows, hidden_size] f32
  compute::Tensor logits_;  // [group of rows, vocab_size] f32
  std::vector<float> host_rows_;
  scheduler::StepReport report_;
  ExchangeCounters exchanges_;
  StepTracks tracks_;
  std::vector<scheduler::TimeSpan> waits_;   // of the engine, in the last step
  std::vector<scheduler::FrameTrip> trips_;  // of the last step
  absl::Duration visiting_;
  absl::Duration projecting_;
};

}  // namespace tandem::router
