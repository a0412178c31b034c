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
  // Errors, of each frame for itself: INVALID_ARGUMENT for another dtype or hidden size than the model's, NOT_FOUND for an
  // expert that is not held; of all: RESOURCE_EXHAUSTED or the device's error.
  std::vector<absl::StatusOr<transport::CombineFrame>> Run(absl::Span<const transport::DispatchFrame* const> frames);

 private:
  // One frame's consecutive pairs with the same expert.
  struct ExpertRun {
    int32_t expert = 0;
    int32_t member = 0;
    int32_t begin = 0;
    int32_t end = 0;
  };
  // A frame's place in the batch.
  struct Member {
    const transport::DispatchFrame* frame = nullptr;
    int64_t result = 0;  // index into the results
    int64_t first_row = 0;
    int64_t first_pair = 0;
  };
  struct Batch {
    std::vector<Member> members;
    std::vector<compute::MlpWeightsPtr> weights;  // keeps the segments' weights alive
    std::vector<compute::ExpertSegment> segments;
    std::vector<int32_t> pair_rows;  // by expert
    std::vector<int32_t> slots;      // where each output belongs in frame order
    int64_t num_rows = 0;
    int64_t num_pairs = 0;
    int64_t hidden_size = 0;
    int32_t layer = 0;
  };

  absl::Status Check(const transport::DispatchFrame& frame) const;
  absl::Status AddSegments(const std::vector<ExpertRun>& runs, Batch& batch) const;
  absl::Status Execute(const Batch& batch, std::vector<transport::FrameBuffer>& outputs);
  absl::Status Reserve(compute::Tensor& scratch, int64_t rows, int64_t hidden_size);

  compute::Backend& backend_;
  const ExpertStore& store_;
  const compute::DType wire_dtype_;
  ExpertProbe& probe_;
  // Reused from batch to batch: [capacity, hidden_size].
  compute::Tensor rows_;
  compute::Tensor by_expert_;
  compute::Tensor by_frame_;
};

}  // namespace tandem::expert_worker
