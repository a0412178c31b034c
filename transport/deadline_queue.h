// Calls functions at points in time. One thread ("deadlines") per queue, asleep until the earliest entry.
// Thread-safe. Functions run on the queue's thread without its lock; they must be short and may use the queue.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tandem::transport {

class DeadlineQueue {
 public:
  using Key = std::pair<absl::Time, uint64_t>;

  DeadlineQueue();
  // Entries that have not expired are dropped.
  ~DeadlineQueue();
  DeadlineQueue(const DeadlineQueue&) = delete;
  DeadlineQueue& operator=(const DeadlineQueue&) = delete;

  // `expired` is called once `deadline` has passed, unless Cancel comes first. InfiniteFuture never expires.
  Key Add(absl::Time deadline, std::function<void()> expired);

  // True if the entry was still there: then its function has not run and will not.
  bool Cancel(const Key& key);

 private:
  // Shared with the thread, so that the queue may be destroyed by a function that runs on it.
  struct State {
    absl::Mutex mutex;
    absl::CondVar changed;
    std::map<Key, std::function<void()>> entries ABSL_GUARDED_BY(mutex);
    absl::Time wakes_at ABSL_GUARDED_BY(mutex) = absl::InfinitePast();  // of the thread; in the past while it is awake
    uint64_t next_id ABSL_GUARDED_BY(mutex) = 0;
    bool stopping ABSL_GUARDED_BY(mutex) = false;
  };

  static void Run(State& state);

  const std::shared_ptr<State> state_ = std::make_shared<State>();
  std::thread thread_;
};

}  // namespace tandem::transport
