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
#include "absl/types/span.h"
#include "compute/dtype.h"

namespace tandem::transport {

// Reference-counted, 64-byte aligned bytes. Written by one owner before it is shared, immutable afterwards.
class FrameBuffer {
 public:
  FrameBuffer() = default;
  explicit FrameBuffer(size_t size);
  // Bytes owned by somebody else: `keep_alive` holds them until the last copy is gone. They are immutable unless they
  // were lent by an OutputRoom.
  FrameBuffer(const std::byte* data, size_t size, std::shared_ptr<const void> keep_alive);

  size_t size() const { return size_; }
  const std::byte* data() const { return data_; }
  absl::Span<const std::byte> bytes() const { return {data_, size_}; }
  // `size` bytes from `offset` on, which must lie inside; shares the bytes.
  FrameBuffer Part(size_t offset, size_t size) const& { return {data_ + offset, size, keep_alive_}; }
  FrameBuffer Part(size_t offset, size_t size) && { return {data_ + offset, size, std::move(keep_alive_)}; }
  // Only for buffers made by FrameBuffer(size) or OutputRoom, and only before the frame is handed on.
  absl::Span<std::byte> mutable_bytes() { return {const_cast<std::byte*>(data_), size_}; }

 private:
  std::shared_ptr<const void> keep_alive_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Lends memory from which a channel sends without another copy. Thread-safe.
class OutputRoom {
 public:
  virtual ~OutputRoom() = default;

  // Room for `bytes`, to be filled and answered with, or let go of, soon: later answers may have to wait for it. Empty
  // when there is none.
  virtual FrameBuffer Lend(size_t bytes) = 0;
};

struct ExpertPair {
  int32_t row = 0;     // row of the frame
  int32_t expert = 0;  // logical expert of the frame's layer
  bool operator==(const ExpertPair&) const = default;
};

// The connection over which a frame reached its worker. Made and written by the worker's end of it; thread-safe.
struct FrameOrigin {
  std::atomic<bool> gone = false;  // nobody waits for answers any more
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
  std::shared_ptr<const FrameOrigin> origin;  // on a worker that the frame reached over a connection; does not travel
  std::shared_ptr<OutputRoom> room;  // worker side: where outputs are best written; may be null
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

// A buffer of that size to write them into, in the frame's room where there is some.
FrameBuffer AllocateOutputs(const DispatchFrame& frame);

}  // namespace tandem::transport
