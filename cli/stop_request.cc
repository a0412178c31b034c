#include "cli/stop_request.h"

#include <unistd.h>

#include "base/log.h"
#include "base/thread_name.h"

namespace tandem::cli {

StopRequest::StopRequest() : thread_([this] { Watch(); }) {}

StopRequest::~StopRequest() {
  bool waiting = false;
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
    waiting = !requested_;
  }
  if (waiting) {
    ShutdownSignal::Raise();
  }
  thread_.join();
}

void StopRequest::SetStartupCleanup(std::function<void()> cleanup) {
  absl::MutexLock lock(&mutex_);
  cleanup_ = std::move(cleanup);
}

void StopRequest::Serving() {
  absl::MutexLock lock(&mutex_);
  serving_ = true;
}

void StopRequest::Wait() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&requested_));
}

void StopRequest::Watch() {
  SetThreadName("signals");
  signal_.Wait();
  absl::MutexLock lock(&mutex_);
  requested_ = true;
  if (serving_ || ending_) {
    return;
  }
  spdlog::info("stopped while starting");
  if (cleanup_) {
    cleanup_();
  }
  // Loading cannot be interrupted half way, and nothing is running that could be lost. Child processes end with us.
  _exit(0);
}

}  // namespace tandem::cli
