#include "transport/deadline_queue.h"

#include "base/thread_name.h"

namespace tandem::transport {

DeadlineQueue::DeadlineQueue()
    : thread_([state = state_] {
        SetThreadName("deadlines");
        Run(*state);
      }) {}

DeadlineQueue::~DeadlineQueue() {
  {
    absl::MutexLock lock(&state_->mutex);
    state_->stopping = true;
    state_->changed.Signal();
  }
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();  // the running function holds the last reference; the thread ends when it returns
  } else {
    thread_.join();
  }
}

DeadlineQueue::Key DeadlineQueue::Add(absl::Time deadline, std::function<void()> expired) {
  absl::MutexLock lock(&state_->mutex);
  const Key key{deadline, state_->next_id++};
  if (deadline == absl::InfiniteFuture()) {
    return key;
  }
  state_->entries.emplace(key, std::move(expired));
  // Deadlines mostly come in ascending order, and the thread sleeps at least until an earlier one, answered or not.
  if (deadline < state_->wakes_at) {
    state_->changed.Signal();
  }
  return key;
}

bool DeadlineQueue::Cancel(const Key& key) {
  // Destroyed after the lock is gone: what the function holds may use the queue when it goes.
  std::map<Key, std::function<void()>>::node_type entry;
  absl::MutexLock lock(&state_->mutex);
  // The thread may now wake up for nothing, which is cheaper than waking it for every answer.
  entry = state_->entries.extract(key);
  return !entry.empty();
}

void DeadlineQueue::Run(State& state) {
  state.mutex.Lock();
  while (!state.stopping) {
    auto& entries = state.entries;
    const absl::Time earliest = entries.empty() ? absl::InfiniteFuture() : entries.begin()->first.first;
    if (earliest > absl::Now()) {
      state.wakes_at = earliest;
      state.changed.WaitWithDeadline(&state.mutex, earliest);
      state.wakes_at = absl::InfinitePast();
      continue;
    }
    auto entry = entries.extract(entries.begin());
    state.mutex.Unlock();
    entry.mapped()();
    entry = {};
    state.mutex.Lock();
  }
  state.mutex.Unlock();
}

}  // namespace tandem::transport
