// POST /debug/trace: the timeline of the next steps, as Chrome trace events.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/http/message.h"
#include "base/trace.h"

namespace tandem::router {

// One trace at a time; a thread of its own ("debug-trace") waits for its steps. Thread-safe.
class DebugTrace {
 public:
  struct Query {
    int64_t steps = 10;                          // 1 … 1000
    absl::Duration timeout = absl::Seconds(30);  // 1 … 300 s
  };

  // Errors: INVALID_ARGUMENT naming the parameter.
  static absl::StatusOr<Query> ParseQuery(const http::Request& request);

  // `recorder` may be null: then every request is refused as UNIMPLEMENTED.
  explicit DebugTrace(trace::Recorder* recorder) : recorder_(recorder) {}
  ~DebugTrace();  // Close

  // Answers once the steps are done, or at the timeout with those that there were. 503 when there was none, 429 while
  // another trace is being recorded. Does not block.
  void Handle(const http::Request& request, std::shared_ptr<http::ResponseWriter> writer);

  // Ends a trace that is under way with what there is, and refuses new ones.
  void Close();

 private:
  absl::Status Begin(const Query& query, const std::shared_ptr<http::ResponseWriter>& writer);
  http::Response Record(const Query& query);

  trace::Recorder* const recorder_;
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);  // of the last trace
};

}  // namespace tandem::router
