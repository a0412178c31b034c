// The frames of one connection that await their answer. Whatever happens, each frame's callback is called exactly once:
// with the answer, at its deadline, or when the connection ends. Callbacks run without any lock held.
// Thread-safe. Held by shared_ptr, because answers and deadlines may arrive after the connection's owner is gone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
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
  uint64_t Add(const DispatchFrame& frame, CombineCallback done);

  // Lets the frame end with DEADLINE_EXCEEDED at `deadline` unless it has been answered; apart from Add so that a frame
  // that is answered at once costs no timer.
  void Arm(uint64_t id, absl::Time deadline);

  // Ends a frame; ids that are not (or no longer) there are ignored. Outputs of the wrong size become INTERNAL.
  void Complete(uint64_t id, absl::StatusOr<CombineFrame> result);

  // Ends every frame, and every later Add, with `status`.
  void Close(const absl::Status& status);

 private:
  struct Entry {
    CombineCallback done;
    size_t output_bytes = 0;
    int32_t layer = 0;
    std::optional<DeadlineQueue::Key> timer;
  };

  absl::Status Named(const absl::Status& status) const;

  const std::string worker_;
  const size_t capacity_;
  const std::shared_ptr<DeadlineQueue> deadlines_;

  absl::Mutex mutex_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::flat_hash_map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem::transport
