// What travels along a line of pipeline stages (scheduler/stage_layout.h): a step on its way from the head to all
// stages, hidden states from stage to stage, results and errors back to the head.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "compute/backend.h"
#include "transport/frame.h"

namespace tandem::transport {

// One micro-batch of a step: rows of all its sequences behind each other.
struct StageMicroBatch {
  int32_t direction = 0;
  int32_t num_rows = 0;
  bool follows = false;  // its first sequence goes on where the micro-batch before ends
  std::vector<compute::SequenceRows> sequences;
  std::vector<int32_t> wanted;  // ascending rows whose final hidden states the head needs
  std::vector<int32_t> ids;     // tokens of the rows, for whoever embeds them; else empty
};

// What a step computes. The head numbers steps upwards; a new one ends whatever is left of the one before.
struct StageStep {
  uint64_t step = 0;
  std::vector<compute::BlockCopy> copies;  // KV blocks to copy before anything is written
  std::vector<StageMicroBatch> micro_batches;
};

// Hidden states of one micro-batch: all rows, for the next stage on its way, or, as a result for the head, the wanted
// ones.
struct StageRows {
  uint64_t step = 0;
  int32_t micro_batch = 0;
  bool result = false;
  FrameBuffer rows;  // [rows, hidden_size] f32, the residual stream bit for bit
};

// A stage could not compute a step. Step 0: a stage behind is lost, and the head has to connect anew.
struct StageFailure {
  uint64_t step = 0;
  absl::Status error;
};

// What a stage did with its time in a step.
struct StageReport {
  uint64_t step = 0;
  int32_t stage = 0;
  absl::Duration busy;     // attention, gate, shared experts, dispatch and combine
  absl::Duration experts;  // waited for expert workers
  absl::Duration stages;   // waited for other stages
};

using StageMessage = std::variant<StageStep, StageRows, StageFailure, StageReport>;

// What a stage can take.
struct StageLimits {
  int num_directions = 1;
  int64_t num_kv_blocks = 0;
  int kv_block_size = 0;
  int64_t max_batch_tokens = 0;
  int64_t max_model_len = 0;
  int64_t vocab_size = 0;
  int max_micro_batches = 8;
};

// Checks that a step is what the comments above say.
// Errors: INVALID_ARGUMENT naming the field.
absl::Status ValidateStep(const StageStep& step, const StageLimits& limits);

}  // namespace tandem::transport
