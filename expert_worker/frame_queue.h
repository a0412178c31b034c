// Frames that wait for the executor, and which of them are computed next.
//
// Routers take turns: the oldest frame of the router whose turn it is leads, and frames of the same layer join it,
// whoever sent them, again by turns, up to a number of (row, expert) pairs. So frames that can share the reading of
// weights are computed together, and a router's oldest frame waits for at most as many batches as there are routers,
// however many frames the others send. One router's frames of one layer stay in their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/bounded_queue.h"
#include "transport/expert_channel.h"

namespace tandem::expert_worker {

struct WaitingFrame {
  transport::DispatchFrame frame;
  transport::CombineCallback done;
  absl::Time queued_at;
};

// Thread-safe.
class FrameQueue {
 public:
  // At most `capacity` frames of each router may wait. A batch has at most `max_batch_pairs` pairs, or one frame.
  FrameQueue(size_t capacity, int64_t max_batch_pairs) : capacity_(capacity), max_batch_pairs_(max_batch_pairs) {}

  // Never blocks. `frame` is moved from only if the result is kOk.
  PushResult TryPush(WaitingFrame&& frame);

  // What is to be computed next, of one layer; empty when nothing waits.
  std::vector<WaitingFrame> TryPopBatch();

  // Nothing can be pushed any more; what waits can still be popped.
  void Close();
  bool closed() const;
  size_t size() const;

 private:
  // One router's frames, by the origin that they name.
  struct Router {
    std::shared_ptr<transport::FrameOrigin> origin;
    std::deque<WaitingFrame> frames;
  };

  const size_t capacity_;
  const int64_t max_batch_pairs_;
  mutable absl::Mutex mutex_;
  std::deque<Router> routers_ ABSL_GUARDED_BY(mutex_);  // those with frames; the front's turn is next
  size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tandem::expert_worker
