// A first-in, first-out queue of limited length between threads. A full queue is the caller's business: it is told, and
// pushes back. Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace tandem {

enum class PushResult { kOk, kFull, kClosed };

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}
  BoundedQueue(const BoundedQueue&) = delete;
  BoundedQueue& operator=(const BoundedQueue&) = delete;

  // Never blocks. `item` is moved from only if the result is kOk.
  PushResult TryPush(T&& item) {
    absl::MutexLock lock(&mutex_);
    if (closed_) {
      return PushResult::kClosed;
    }
    if (items_.size() >= capacity_) {
      return PushResult::kFull;
    }
    items_.push_back(std::move(item));
    return PushResult::kOk;
  }

  // Blocks while the queue is full. False when it was closed; the item is lost then.
  bool Push(T&& item) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](BoundedQueue* q) ABSL_EXCLUSIVE_LOCKS_REQUIRED(q->mutex_) {
          return q->closed_ || q->items_.size() < q->capacity_;
        },
        this));
    if (closed_) {
      return false;
    }
    items_.push_back(std::move(item));
    return true;
  }

  // Blocks for the oldest item; nullopt once the queue is closed and empty.
  std::optional<T> Pop() {
    absl::MutexLock lock(&mutex_);
    if (!AwaitItem()) {
      return std::nullopt;
    }
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

  // Blocks for the oldest item and takes with it, in their order, all waiting items for which
  // `joins(oldest, item)` holds; it is asked once per item under the queue's lock. Empty once closed and empty.
  template <typename Joins>
  std::vector<T> PopGroup(Joins&& joins) {
    absl::MutexLock lock(&mutex_);
    return AwaitItem() ? TakeGroup(joins) : std::vector<T>();
  }

  // As PopGroup, but empty at once when nothing is there.
  template <typename Joins>
  std::vector<T> TryPopGroup(Joins&& joins) {
    absl::MutexLock lock(&mutex_);
    return items_.empty() ? std::vector<T>() : TakeGroup(joins);
  }

  // Nothing can be pushed any more; what is there can still be popped.
  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

  bool closed() const {
    absl::MutexLock lock(&mutex_);
    return closed_;
  }

  size_t size() const {
    absl::MutexLock lock(&mutex_);
    return items_.size();
  }

 private:
  template <typename Joins>
  std::vector<T> TakeGroup(Joins& joins) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<T> group;
    group.push_back(std::move(items_.front()));
    items_.pop_front();
    std::deque<T> rest;
    for (T& item : items_) {
      if (joins(std::as_const(group.front()), std::as_const(item))) {
        group.push_back(std::move(item));
      } else {
        rest.push_back(std::move(item));
      }
    }
    items_.swap(rest);
    return group;
  }

  bool AwaitItem() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    mutex_.Await(absl::Condition(
        +[](BoundedQueue* q) ABSL_EXCLUSIVE_LOCKS_REQUIRED(q->mutex_) { return q->closed_ || !q->items_.empty(); },
        this));
    return !items_.empty();
  }

  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<T> items_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tandem
