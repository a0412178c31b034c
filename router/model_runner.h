// Runs one step through the model: its micro-batches go through the layers as scheduler::Pipeline says, each with its
// own working memory; then the rows that are wanted at the end. Owns KV cache and working memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/decoder.h"
#include "base/trace.h"
#include "router/arrival_queue.h"
#include "router/exchange_counters.h"
#include "router/expert_dispatcher.h"
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
};

// The tokens of a micro-batch: rows of all its sequences behind each other.
struct MicroBatchInput {
  std::vector<int32_t> ids;
  std::vector<compute::SequenceRows> sequences;
  bool follows = false;  // its first sequence goes on where the micro-batch before ends
};

struct StepInput {
  std::vector<compute::BlockCopy> copies;  // KV blocks to copy before anything is written
  std::vector<MicroBatchInput> micro_batches;
};

struct RowRef {
  int32_t micro_batch = 0;
  int32_t row = 0;
};

// Not thread-safe: belongs to the engine's thread. `decoder` and `workers` must outlive it.
class ModelRunner {
 public:
  ModelRunner(const model::Decoder& decoder, WorkerPool& workers, ExpertCounters& counters, ModelRunnerOptions options);

  // Errors: RESOURCE_EXHAUSTED.
  absl::Status Allocate();

  // Computes a step and leaves its final hidden states. Micro-batch i of a step of n
  // tokens has at most ceil(n / (i + 1)). Errors: UNAVAILABLE (a worker was lost), DEADLINE_EXCEEDED, or what a worker or
  // the device said; the step's KV entries are then undefined.
  absl::Status Forward(const StepInput& step);

  // Of rows of the last step, ascending by micro-batch. The row handed over belongs to the callee until it returns.
  using RowVisitor = absl::FunctionRef<void(int64_t index, absl::Span<float> row)>;
  absl::Status VisitLogits(absl::Span<const RowRef> rows, RowVisitor visit);  // [vocab_size]
  absl::Status VisitHidden(absl::Span<const RowRef> rows, RowVisitor visit);  // [hidden_size]

  const scheduler::PipelineShape& shape() const { return shape_; }

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
    scheduler::MicroBatchLoad load;
    scheduler::LayerCost cost;  // summed over layers
  };

  // Measures a stretch of the engine's time.
  class Stretch;

  absl::Status AllocateLanes(size_t count);
  // A stretch of the engine's time in the trace.
  trace::Scope Traced(const char* name, const Lane& lane, int layer) const;
  void BeginStep(const StepInput& step);
  absl::Status RunPipeline(const StepInput& step);
  void EndStep(const StepInput& step);
  absl::Status Advance(const scheduler::PipelineTask& task, bool owes_shared_expert,
                       const std::shared_ptr<ArrivalQueue>& arrivals);
  absl::Status RunLayer(Lane& lane, int layer, std::function<void()> arrived);
  absl::Status Land(Lane& lane, int layer);
  void RunSharedExpert(Lane& lane, int layer);
  absl::Status Visit(absl::Span<const RowRef> rows, const compute::Tensor& out, RowVisitor visit);
  void GatherHidden(absl::Span<const RowRef> rows);

  const model::Decoder& decoder_;
  WorkerPool& workers_;
  const ModelRunnerOptions options_;
  scheduler::PipelineShape shape_;
  ExpertDispatcher dispatcher_;
  model::KvCache cache_;
  std::vector<Lane> lanes_;
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
