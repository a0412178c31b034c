// SIGTERM and SIGINT for a service: while it starts they end the process at once, afterwards they ask it to drain.
#pragma once

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/shutdown_signal.h"

namespace tandem::cli {

// One thread ("signals") waits for the signals. Construct it first thing, before other threads exist.
class StopRequest {
 public:
  StopRequest();
  ~StopRequest();

  // What to clean up when the process is stopped before Serving.
  void SetStartupCleanup(std::function<void()> cleanup);

  // The service runs: from now on a signal makes Wait return.
  void Serving();
  void Wait();

 private:
  void Watch();

  ShutdownSignal signal_;
  absl::Mutex mutex_;
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  bool requested_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void()> cleanup_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: uses all of the above
};

}  // namespace tandem::cli
