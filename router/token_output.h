// Hands tokens out, off the engine's thread: one wake-up a step, however many sequences it had.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/bounded_queue.h"
#include "router/token_engine.h"

namespace tandem::router {

// Owns the thread "token-output", which calls the sinks. Events of one sink keep their order.
class TokenOutput {
 public:
  struct Item {
    std::shared_ptr<const TokenSink> sink;
    TokenEvent event;
  };

  TokenOutput();
  ~TokenOutput();  // after everything was handed out

  // One step's events. Blocks while 1024 steps wait: sinks that fall behind hold up the engine rather than memory.
  void Emit(std::vector<Item> items);

  // Waits until everything emitted so far was handed out. False when the deadline came first.
  bool AwaitDelivery(absl::Time deadline);

 private:
  void Work();

  BoundedQueue<std::vector<Item>> steps_;
  absl::Mutex mutex_;
  uint64_t emitted_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t delivered_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace tandem::router
