// Tells the engine which micro-batches came back from the experts.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "transport/doorbell.h"

namespace tandem::router {

// Push from any thread; the rest from the one that waits at the doorbell. Held by shared_ptr: late answers may come
// when nobody reads any more.
class ArrivalQueue {
 public:
  explicit ArrivalQueue(std::shared_ptr<transport::Doorbell> doorbell) : doorbell_(std::move(doorbell)) {}

  void Push(int32_t micro_batch) {
    {
      absl::MutexLock lock(&mutex_);
      arrived_.push_back(micro_batch);
      size_.fetch_add(1, std::memory_order_seq_cst);
    }
    doorbell_->Ring();
  }

  std::optional<int32_t> TryPop() {
    if (size_.load(std::memory_order_acquire) == 0) {
      return std::nullopt;
    }
    return Take();
  }

  // Waits; `poll` is called again and again and delivers what lies in channels that ring the same doorbell. Whoever
  // pushes does so at the latest when its frame's deadline has passed.
  int32_t Pop(absl::FunctionRef<void()> poll) {
    doorbell_->Wait([&] {
      poll();
      return size_.load(std::memory_order_seq_cst) > 0;
    });
    return Take();
  }

 private:
  int32_t Take() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const int32_t first = arrived_.front();
    arrived_.pop_front();
    size_.fetch_sub(1, std::memory_order_relaxed);
    return first;
  }

  const std::shared_ptr<transport::Doorbell> doorbell_;
  absl::Mutex mutex_;
  std::deque<int32_t> arrived_ ABSL_GUARDED_BY(mutex_);
  std::atomic<int64_t> size_{0};
};

}  // namespace tandem::router
