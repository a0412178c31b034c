#include "transport/stage_message.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::transport {
namespace {

absl::Status Invalid(absl::string_view what) { return absl::InvalidArgumentError(absl::StrCat("step: ", what)); }

bool IsBlock(int32_t block, const StageLimits& limits) { return block >= 0 && block < limits.num_kv_blocks; }

absl::Status ValidateSequences(const StageMicroBatch& micro_batch, const StageLimits& limits) {
  int64_t next_row = 0;
  for (const compute::SequenceRows& sequence : micro_batch.sequences) {
    if (sequence.first_row != next_row || sequence.num_rows <= 0 || sequence.position < 0) {
      return Invalid(absl::StrCat("a sequence begins at row ", sequence.first_row, " instead of ", next_row,
                                  ", or has no rows, or a negative position"));
    }
    next_row += sequence.num_rows;
    const int64_t positions = int64_t{sequence.position} + sequence.num_rows;
    if (positions > limits.max_model_len) {
      return Invalid(absl::StrCat("position ", positions - 1, " is past max_model_len ", limits.max_model_len));
    }
    if (static_cast<int64_t>(sequence.block_table.size()) * limits.kv_block_size < positions) {
      return Invalid(absl::StrCat(sequence.block_table.size(), " KV blocks do not hold ", positions, " positions"));
    }
    for (const int32_t block : sequence.block_table) {
      if (!IsBlock(block, limits)) {
        return Invalid(absl::StrCat("KV block ", block, " is not one of ", limits.num_kv_blocks));
      }
    }
  }
  return next_row == micro_batch.num_rows && next_row > 0
             ? absl::OkStatus()
             : Invalid(absl::StrCat("sequences cover ", next_row, " of ", micro_batch.num_rows, " rows"));
}

absl::Status ValidateRows(const StageMicroBatch& micro_batch, const StageLimits& limits) {
  int32_t last = -1;
  for (const int32_t row : micro_batch.wanted) {
    if (row <= last || row >= micro_batch.num_rows) {
      return Invalid(absl::StrCat("wanted row ", row, " after ", last, " of ", micro_batch.num_rows, " rows"));
    }
    last = row;
  }
  if (!micro_batch.ids.empty() && static_cast<int32_t>(micro_batch.ids.size()) != micro_batch.num_rows) {
    return Invalid(absl::StrCat(micro_batch.ids.size(), " token ids for ", micro_batch.num_rows, " rows"));
  }
  for (const int32_t id : micro_batch.ids) {
    if (id < 0 || id >= limits.vocab_size) {
      return Invalid(absl::StrCat("token ", id, " is outside the vocabulary of ", limits.vocab_size));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateStep(const StageStep& step, const StageLimits& limits) {
  if (static_cast<int>(step.micro_batches.size()) > limits.max_micro_batches) {
    return Invalid(absl::StrCat(step.micro_batches.size(), " micro-batches, more than ", limits.max_micro_batches));
  }
  for (const compute::BlockCopy& copy : step.copies) {
    if (!IsBlock(copy.from, limits) || !IsBlock(copy.to, limits)) {
      return Invalid(absl::StrCat("KV block copy ", copy.from, " to ", copy.to, " outside of ", limits.num_kv_blocks));
    }
  }
  int64_t rows = 0;
  for (size_t i = 0; i < step.micro_batches.size(); ++i) {
    const StageMicroBatch& micro_batch = step.micro_batches[i];
    if (micro_batch.direction < 0 || micro_batch.direction >= limits.num_directions) {
      return Invalid(absl::StrCat("direction ", micro_batch.direction, " of ", limits.num_directions));
    }
    if (micro_batch.follows && (i == 0 || step.micro_batches[i - 1].direction != micro_batch.direction)) {
      return Invalid(absl::StrCat("micro-batch ", i, " follows none of its direction"));
    }
    RETURN_IF_ERROR(ValidateSequences(micro_batch, limits));
    RETURN_IF_ERROR(ValidateRows(micro_batch, limits));
    rows += micro_batch.num_rows;
  }
  return rows <= limits.max_batch_tokens ? absl::OkStatus()
                                         : Invalid(absl::StrCat(rows, " rows, more than ", limits.max_batch_tokens));
}

}  // namespace tandem::transport
