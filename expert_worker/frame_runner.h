// Computes dispatch frames: rows are grouped by expert across all frames that are given together, each expert's weights
// are read once, and every frame gets its own outputs back. By the invariance contract the bits do not depend on what a
// frame was grouped with.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "compute/backend.h"
#include "expert_worker/expert_probe.h"
#include "expert_worker/expert_store.h"
#include "transport/frame.h"

namespace tandem::expert_worker {

// Not thread-safe: Run belongs to the thread that drives the backend.
class FrameRunner {
 public:
  // `wire_dtype` is the model's. Everything referred to must outlive the runner.
  FrameRunner(compute::Backend& backend, const ExpertStore& store, compute::DType wire_dtype, ExpertProbe& probe)
      : backend_(backend), store_(store), wire_dtype_(wire_dtype), probe_(probe) {}

  // The frames pass ValidateDispatch and have one layer. results[i] answers *frames[i]; queue_time is left zero.
  // Errors, of each frame for itself: INVALID_ARGUMENT for another dtype or hidden size than the model's, NOT_FOUND for
  // an expert that is not held; of all: RESOURCE_EXHAUSTED or the device's error.
  std::vector<absl::StatusOr<transport::CombineFrame>> Run(absl::Span<const transport::DispatchFrame* const> frames);

 private:
  struct Batch;

  absl::Status Check(const transport::DispatchFrame& frame, Batch& batch) const;
  absl::Status Execute(const Batch& batch, std::vector<transport::FrameBuffer>& outputs);
  void Count(const Batch& batch, absl::Duration elapsed);
  absl::Status Reserve(compute::Tensor& scratch, compute::DType dtype, int64_t rows, int64_t width);

  compute::Backend& backend_;
  const ExpertStore& store_;
  const compute::DType wire_dtype_;
  ExpertProbe& probe_;
  // Reused from batch to batch.
  compute::Tensor rows_;       // [capacity, DispatchRowElements] wire
  compute::Tensor by_expert_;  // [capacity, hidden_size] CombineDType
  compute::Tensor by_frame_;   // the same
};

}  // namespace tandem::expert_worker
