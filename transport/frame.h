// What travels between a router and an expert worker for one layer of one micro-batch.
//
//   dispatch: the distinct rows a worker needs, once each, and which expert is to see which row
//   combine:  one vector per (row, expert) pair, in the order of the dispatch's pairs
//
// Frames are values that are moved; the payload is shared and never copied on the sending side.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "compute/dtype.h"
#include "transport/frame_buffer.h"

namespace tandem::transport {

struct ExpertPair {
  int32_t row = 0;     // row of the frame
  int32_t expert = 0;  // logical expert of the frame's layer
  bool operator==(const ExpertPair&) const = default;
};

// The connection over which a frame reached its worker; the worker's end of it. Thread-safe.
class FrameOrigin {
 public:
  virtual ~FrameOrigin() = default;

  // True when nobody waits for answers any more.
  bool gone() const { return gone_.load(std::memory_order_relaxed); }
  void MarkGone() { gone_.store(true, std::memory_order_relaxed); }

  // Memory from which an answer is sent without another copy, to be filled and answered with, or let go of, soon: later
  // answers may have to wait for it. Empty when there is none.
  virtual FrameBuffer Lend(size_t /*bytes*/) { return FrameBuffer(); }

 private:
  std::atomic<bool> gone_ = false;
};

struct DispatchFrame {
  uint64_t placement_epoch = 0;
  int32_t layer = 0;
  int32_t num_rows = 0;
  int32_t hidden_size = 0;
  compute::DType dtype = compute::DType::kF32;  // the model's wire dtype (compute/wire_rows.h)
  std::vector<ExpertPair> pairs;                // sorted by expert, then row
  FrameBuffer rows;                             // [num_rows, DispatchRowElements]
  absl::Time deadline = absl::InfiniteFuture();
  std::shared_ptr<FrameOrigin> origin;  // on a worker that the frame reached over a connection; does not travel
};

// Checks that a frame is what the comments above say, without looking at the values of its rows.
// Errors: INVALID_ARGUMENT naming the field.
absl::Status ValidateDispatch(const DispatchFrame& frame);

struct CombineFrame {
  FrameBuffer outputs;          // [pairs, hidden_size], CombineDType, in the order of the dispatch's pairs
  absl::Duration compute_time;  // time the worker spent computing, for the cost model
  absl::Duration queue_time;    // time the frame waited on the worker
};

// Size of the outputs that answer `frame`.
size_t OutputBytes(const DispatchFrame& frame);

// A buffer of that size to write them into, lent by the frame's origin where it can.
FrameBuffer AllocateOutputs(const DispatchFrame& frame);

}  // namespace tandem::transport
