// Where the API layer's work runs: parsing, templates, tokenizing and detokenizing happen neither on the engine's
// thread nor on the threads that serve sockets.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace tandem::router {

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `task` later, on some thread of the executor. Thread-safe, does not block.
  virtual void Post(std::function<void()> task) = 0;
};

// `threads` threads named "NAME-i", joined by the destructor after every posted task has run.
class ThreadPool final : public Executor {
 public:
  ThreadPool(absl::string_view name, int threads);
  ~ThreadPool() override;

  void Post(std::function<void()> task) override;

 private:
  void Work();

  absl::Mutex mu_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace tandem::router
