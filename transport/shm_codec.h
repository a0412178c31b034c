// Frames as messages of a ShmLink: a header as lead, the pairs of a dispatch, then rows, outputs or the text of an
// error. What is largest comes last, so that it can be written where it is sent from. Both sides run on one machine, so
// numbers have its byte order and deadlines are points on its clock. Received bytes are not trusted: everything but the
// payload is copied, then checked. Thread-safe.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transport/frame.h"
#include "transport/shm_link.h"

namespace tandem::transport {

absl::Status SendDispatch(ShmLink& link, uint64_t frame_id, const DispatchFrame& frame);
absl::Status SendCombine(ShmLink& link, uint64_t frame_id, const absl::StatusOr<CombineFrame>& result);

// Buffers for the rows of a DispatchFrame with `num_pairs` pairs, and for the outputs of a CombineFrame, that
// SendDispatch and SendCombine need not copy; empty when the link has no room.
FrameBuffer LendRows(ShmLink& link, size_t num_pairs, size_t bytes);
FrameBuffer LendOutputs(ShmLink& link, size_t bytes);

struct ReadDispatch {
  uint64_t frame_id = 0;  // 0: unreadable, there is nobody to answer
  // Errors: INVALID_ARGUMENT; otherwise the frame passes ValidateDispatch. Its rows lie in `message`.
  absl::StatusOr<DispatchFrame> frame = absl::UnknownError("");
};
ReadDispatch ParseDispatch(FrameBuffer message);

struct ReadCombine {
  uint64_t frame_id = 0;  // 0: unreadable
  absl::StatusOr<CombineFrame> result = absl::UnknownError("");
};
ReadCombine ParseCombine(FrameBuffer message);

}  // namespace tandem::transport
