#include "router/debug_trace.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/thread_name.h"
#include "base/trace_json.h"
#include "router/api_error.h"
#include "router/http_response.h"

namespace tandem::router {
namespace {

constexpr int64_t kMaxSteps = 1000;
constexpr int64_t kMaxTimeoutSeconds = 300;
constexpr int64_t kMaxSpans = 1 << 18;  // some 40 MB of answer

absl::Status ReadNumber(const http::Request& request, const char* name, int64_t max, int64_t& value) {
  const std::optional<std::string> text = request.QueryParam(name);
  if (text.has_value() && (!absl::SimpleAtoi(*text, &value) || value < 1 || value > max)) {
    return InvalidField(name, absl::StrCat("'", name, "' must be a whole number from 1 to ", max));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DebugTrace::Query> DebugTrace::ParseQuery(const http::Request& request) {
  Query query;
  int64_t timeout_seconds = absl::ToInt64Seconds(query.timeout);
  RETURN_IF_ERROR(ReadNumber(request, "steps", kMaxSteps, query.steps));
  RETURN_IF_ERROR(ReadNumber(request, "timeout", kMaxTimeoutSeconds, timeout_seconds));
  query.timeout = absl::Seconds(timeout_seconds);
  return query;
}

DebugTrace::~DebugTrace() { Close(); }

void DebugTrace::Close() {
  std::thread thread;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    thread = std::move(thread_);
  }
  if (thread.joinable()) {
    recorder_->Interrupt();
    thread.join();
  }
}

void DebugTrace::Handle(const http::Request& request, std::shared_ptr<http::ResponseWriter> writer) {
  const absl::StatusOr<Query> query = ParseQuery(request);
  const absl::Status begun = query.ok() ? Begin(*query, writer) : query.status();
  if (!begun.ok()) {
    writer->Send(ErrorResponse(begun));
  }
}

absl::Status DebugTrace::Begin(const Query& query, const std::shared_ptr<http::ResponseWriter>& writer) {
  if (recorder_ == nullptr) {
    return absl::UnimplementedError("this server records no traces");
  }
  absl::MutexLock lock(&mutex_);
  if (closed_) {
    return WithApiCode(absl::UnavailableError("the server is shutting down"), "shutting_down");
  }
  const absl::Status started = busy_ ? absl::ResourceExhaustedError("a trace is being recorded already")
                                     : recorder_->Start({.spans = kMaxSpans, .steps = query.steps});
  if (!started.ok()) {
    return WithApiCode(started, "trace_running");
  }
  if (thread_.joinable()) {
    thread_.join();  // not busy any more: it has nothing left to do
  }
  busy_ = true;
  thread_ = std::thread([this, query, writer] {
    SetThreadName("debug-trace");
    writer->Send(Record(query));
    absl::MutexLock lock(&mutex_);
    busy_ = false;
  });
  return absl::OkStatus();
}

http::Response DebugTrace::Record(const Query& query) {
  recorder_->AwaitSteps(absl::Now() + query.timeout);
  const trace::Recording recording = recorder_->Stop();
  if (recording.steps == 0) {
    return ErrorResponse(WithApiCode(
        absl::UnavailableError(absl::StrCat("no step was completed within ", absl::FormatDuration(query.timeout),
                                            ": a trace needs requests that run meanwhile")),
        "no_steps"));
  }
  return {.status = 200, .content_type = "application/json", .body = trace::ToJson(recording, "tandem"), .headers = {}};
}

}  // namespace tandem::router
