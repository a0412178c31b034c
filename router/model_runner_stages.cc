// What ModelRunner exchanges with other pipeline stages.
#include <algorithm>

#include "base/status.h"
#include "router/model_runner.h"

namespace tandem::router {

using transport::FrameBuffer;

// The head gets what it wants of micro-batches that end elsewhere as results.
bool ModelRunner::AwaitsResult(const MicroBatchInput& input) const {
  return place_.head() && place_.layout.LastStage(input.direction) != place_.stage;
}

void ModelRunner::ExpectInputs(const StepInput& step, const std::shared_ptr<ArrivalQueue>& arrivals) {
  for (int32_t i = 0; i < report_.micro_batches; ++i) {
    if (LaneOf(i).path.enters) {
      place_.handover->Expect(step.step, i, [arrivals, i] { arrivals->Push(i); });
    }
  }
}

void ModelRunner::ExpectResults(const StepInput& step, const std::shared_ptr<ArrivalQueue>& results) {
  for (int32_t i = 0; i < report_.micro_batches; ++i) {
    if (AwaitsResult(step.micro_batches[i])) {
      place_.handover->Expect(step.step, i, [results, i] { results->Push(i); });
    }
  }
}

absl::StatusOr<FrameBuffer> ModelRunner::TakeRows(const StepInput& step, int32_t micro_batch, int64_t rows) {
  ASSIGN_OR_RETURN(FrameBuffer taken, place_.handover->Take(step.step, micro_batch));
  const int64_t bytes = rows * LaneOf(micro_batch).activations.h.Rows(0, 1).size_bytes();
  if (static_cast<int64_t>(taken.size()) != bytes) {
    return absl::InternalError(absl::StrCat("micro-batch ", micro_batch, ": another stage sent ", taken.size(),
                                            " bytes of hidden states, expected ", bytes));
  }
  return taken;
}

absl::Status ModelRunner::Enter(const StepInput& step, int32_t micro_batch) {
  ASSIGN_OR_RETURN(const FrameBuffer rows, TakeRows(step, micro_batch, step.micro_batches[micro_batch].num_rows));
  decoder_.Enter(rows.bytes(), LaneOf(micro_batch).activations);
  return decoder_.backend().Record()->Wait();  // the bytes must stay until they were read
}

// Goes on to the next stage, or its results to the head; what ends on the head stays.
absl::Status ModelRunner::Leave(const StepInput& step, int32_t micro_batch) {
  const MicroBatchInput& input = step.micro_batches[micro_batch];
  const bool ends = place_.layout.LastStage(input.direction) == place_.stage;
  if (ends && place_.head()) {
    return absl::OkStatus();
  }
  compute::Backend& backend = decoder_.backend();
  const compute::Tensor h = LaneOf(micro_batch).activations.h;
  const size_t row_bytes = h.Rows(0, 1).size_bytes();
  transport::StageRows rows = {.step = step.step, .micro_batch = micro_batch, .result = ends};
  rows.rows = FrameBuffer(row_bytes * (ends ? input.wanted.size() : static_cast<size_t>(input.num_rows)));
  const absl::Span<std::byte> bytes = rows.rows.mutable_bytes();
  if (!ends) {
    backend.Download(h.Rows(0, input.num_rows), bytes);
  }
  for (size_t i = 0; ends && i < input.wanted.size(); ++i) {
    backend.Download(h.Rows(input.wanted[i], 1), bytes.subspan(i * row_bytes, row_bytes));
  }
  RETURN_IF_ERROR(backend.Record()->Wait());
  return place_.handover->Send(rows, input.direction);
}

absl::Status ModelRunner::CollectResults(const StepInput& step, ArrivalQueue& results) {
  const auto awaited = std::count_if(step.micro_batches.begin(), step.micro_batches.end(),
                                     [this](const MicroBatchInput& input) { return AwaitsResult(input); });
  const Stretch stretch(report_.stage_wait);
  for (auto left = awaited; left > 0; --left) {
    const int32_t micro_batch = results.Pop([this] { workers_.Poll(); });
    const std::vector<int32_t>& wanted = step.micro_batches[micro_batch].wanted;
    ASSIGN_OR_RETURN(const FrameBuffer rows, TakeRows(step, micro_batch, static_cast<int64_t>(wanted.size())));
    decoder_.SetRows(wanted, rows.bytes(), LaneOf(micro_batch).activations);
    RETURN_IF_ERROR(decoder_.backend().Record()->Wait());
  }
  return absl::OkStatus();
}

}  // namespace tandem::router
