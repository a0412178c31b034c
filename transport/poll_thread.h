// Looks after something that must be polled where no other thread does: waits at a doorbell and polls at every ring.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "base/thread_name.h"
#include "transport/doorbell.h"

namespace tandem::transport {

// One thread, joined by the destructor; `poll` runs on it only and says whether there was something, after which the
// thread spins again before it sleeps.
class PollThread {
 public:
  // The doorbell must outlive the thread.
  PollThread(std::string name, Doorbell& doorbell, std::function<bool()> poll)
      : doorbell_(doorbell), thread_([this, name = std::move(name), poll = std::move(poll)] {
          SetThreadName(name);
          while (!stopping_.load(std::memory_order_seq_cst)) {
            doorbell_.Wait([&] { return poll() || stopping_.load(std::memory_order_seq_cst); });
          }
        }) {}

  ~PollThread() {
    stopping_.store(true, std::memory_order_seq_cst);
    doorbell_.Ring();
    thread_.join();
  }

 private:
  Doorbell& doorbell_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace tandem::transport
