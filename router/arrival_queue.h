// Tells the engine which micro-batches came back from the experts. Waiting spins for a moment before it sleeps: answers
// often come within microseconds, and waking a thread costs more than that.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tandem::router {

// Push from any thread; the rest from one.
class ArrivalQueue {
 public:
  void Push(int32_t micro_batch) {
    absl::MutexLock lock(&mutex_);
    arrived_.push_back(micro_batch);
    size_.fetch_add(1, std::memory_order_release);
  }

  std::optional<int32_t> TryPop() {
    if (size_.load(std::memory_order_acquire) == 0) {
      return std::nullopt;
    }
    absl::MutexLock lock(&mutex_);
    return Take();
  }

  // Waits. Whoever pushes does so at the latest when its frame's deadline has passed.
  int32_t Pop(absl::Duration spin = absl::Microseconds(50)) {
    const absl::Time sleep_at = absl::Now() + spin;
    while (size_.load(std::memory_order_acquire) == 0 && absl::Now() < sleep_at) {
    }
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](std::deque<int32_t>* arrived) { return !arrived->empty(); }, &arrived_));
    return Take();
  }

 private:
  int32_t Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const int32_t first = arrived_.front();
    arrived_.pop_front();
    size_.fetch_sub(1, std::memory_order_relaxed);
    return first;
  }

  absl::Mutex mutex_;
  std::deque<int32_t> arrived_ ABSL_GUARDED_BY(mutex_);
  std::atomic<int64_t> size_{0};
};

}  // namespace tandem::router
