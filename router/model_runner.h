// Runs one step through the model: embedding, layers with their expert round trips, and the rows that are wanted at the
// end. Owns KV cache and working memory.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/decoder.h"
#include "router/expert_dispatcher.h"

namespace tandem::router {

struct ModelRunnerOptions {
  int64_t max_batch_tokens = 512;
  int max_sequences = 64;
  int64_t num_kv_blocks = 0;
  int kv_block_size = compute::kAttentionTile;
  absl::Duration dispatch_timeout = absl::Seconds(30);
};

// The tokens of a step: rows of all sequences behind each other.
struct StepBatch {
  std::vector<int32_t> ids;
  std::vector<compute::SequenceRows> sequences;
  std::vector<compute::BlockCopy> copies;  // KV blocks to copy before anything is written
};

// Not thread-safe: belongs to the engine's thread. `decoder` and `workers` must outlive it.
class ModelRunner {
 public:
  ModelRunner(const model::Decoder& decoder, WorkerPool& workers, ExpertCounters& counters, ModelRunnerOptions options);

  // Errors: RESOURCE_EXHAUSTED.
  absl::Status Allocate();

  // Computes a batch and leaves its final hidden states. Errors: UNAVAILABLE (a worker was lost), DEADLINE_EXCEEDED, or
  // what a worker or the device said; the batch's KV entries are then undefined.
  absl::Status Forward(const StepBatch& batch);

  // Of rows of the last batch. The row handed over belongs to the callee until it returns.
  using RowVisitor = absl::FunctionRef<void(int64_t index, absl::Span<float> row)>;
  absl::Status VisitLogits(absl::Span<const int32_t> rows, RowVisitor visit);  // [vocab_size]
  absl::Status VisitHidden(absl::Span<const int32_t> rows, RowVisitor visit);  // [hidden_size]

  // Time spent in visitors so far.
  absl::Duration visiting() const { return visiting_; }

 private:
  absl::Status RunLayer(int layer, const compute::BatchLayout& batch);
  absl::Status Visit(absl::Span<const int32_t> rows, const compute::Tensor& out, bool logits, RowVisitor visit);

  const model::Decoder& decoder_;
  const ModelRunnerOptions options_;
  ExpertDispatcher dispatcher_;
  model::KvCache cache_;
  model::Activations activations_;
  compute::Tensor logits_;  // [group of rows, vocab_size] f32
  compute::Tensor hidden_;  // [group of rows, hidden_size] f32
  std::vector<float> host_rows_;
  absl::Duration visiting_;
};

}  // namespace tandem::router
