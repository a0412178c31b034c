// The frames of one connection that await their answer. Whatever happens, each frame's callback is called exactly once:
// with the answer, at its deadline, or when the connection ends. Callbacks run without any lock held.
// Thread-safe. Held by shared_ptr, because answers and deadlines may arrive after the connection's owner is gone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "transport/deadline_queue.h"
#include "transport/expert_channel.h"

namespace tandem::transport {

class PendingFrames : public std::enable_shared_from_this<PendingFrames> {
 public:
  // `worker` names the peer in every error. At most `capacity` frames at a time.
  PendingFrames(std::string worker, size_t capacity, std::shared_ptr<DeadlineQueue> deadlines)
      : worker_(std::move(worker)), capacity_(capacity), deadlines_(std::move(deadlines)) {}

  // Takes charge of `done` and returns the frame's id, never 0; or calls `done` with the reason and returns 0:
  // RESOURCE_EXHAUSTED when full, DEADLINE_EXCEEDED when it is late already, the closing status after Close.
  // From here on the frame ends with DEADLINE_EXCEEDED at its deadline, sent or not.
  uint64_t Add(const DispatchFrame& frame, CombineCallback done);

  // Ends a frame; ids that are not (or no longer) there are ignored. Outputs of the wrong size become INTERNAL.
  void Complete(uint64_t id, absl::StatusOr<CombineFrame> result);

  // Ends every frame, and every later Add, with `status`.
  void Close(const absl::Status& status);

 private:
  struct Frame {
    CombineCallback done;  // empty: the slot is free
    size_t output_bytes = 0;
    absl::Time deadline;
    int32_t layer = 0;
    uint32_t generation = 0;  // of the slot; makes ids of its earlier frames unknown
  };

  absl::Status Named(const absl::Status& status) const;
  absl::Status Refusal(const DispatchFrame& frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Frame Take(size_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends the frames whose time is up; on the thread of `deadlines_`.
  void Sweep();
  void SweepAt(absl::Time time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string worker_;
  const size_t capacity_;
  const std::shared_ptr<DeadlineQueue> deadlines_;

  absl::Mutex mutex_;
  std::vector<Frame> frames_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mutex_);  // slots of frames_
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
  // One timer for all frames, set to the earliest deadline and left there when that frame is answered: then it finds
  // nobody late, and is set anew.
  absl::Time sweep_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  std::optional<DeadlineQueue::Key> timer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem::transport
