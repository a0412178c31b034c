#include "router/completion_session.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem::router {

http::Response ErrorResponse(const absl::Status& status) {
  const ApiError error = ToApiError(status);
  http::Response response;
  response.status = error.http_status;
  response.body = ErrorJson(error);
  if (error.retry_after_seconds.has_value()) {
    response.headers.emplace_back("Retry-After", absl::StrCat(*error.retry_after_seconds));
  }
  if (error.http_status == 504) {  // a repeat would repeat the cost
    response.headers.emplace_back("x-should-retry", "false");
  }
  return response;
}

CompletionSession::CompletionSession(ResponseJson json, StreamOptions stream, absl::Duration ping_interval,
                                     std::shared_ptr<http::ResponseWriter> writer)
    : json_(std::move(json)), stream_(stream), ping_interval_(ping_interval), writer_(std::move(writer)) {}

void CompletionSession::Start(CompletionService& service, std::vector<CompletionRequest> requests) {
  {
    absl::MutexLock lock(&mu_);
    running_ = requests.size();
    choices_.resize(requests.size());
    usage_.resize(requests.size());
  }
  writer_->OnClose([self = shared_from_this()] { self->ClientGone(); });
  for (size_t i = 0; i < requests.size(); ++i) {
    auto completion = service.Start(std::move(requests[i]), [self = shared_from_this(), i](CompletionDelta delta) {
      self->OnDelta(i, std::move(delta));
    });
    absl::ReleasableMutexLock lock(&mu_);
    if (!completion.ok() && !over_) {
      Fail(completion.status());
      return;
    }
    if (over_) {
      lock.Release();
      if (completion.ok()) (*completion)->Cancel();
      return;
    }
    completions_.push_back(*std::move(completion));
  }
  absl::MutexLock lock(&mu_);
  started_ = true;
  if (over_) {
    return;
  }
  if (stream_.stream) {
    BeginStream();
  }
  for (Early& early : std::exchange(early_, {})) {
    Handle(early.index, early.delta);
  }
}

void CompletionSession::OnDelta(size_t index, CompletionDelta delta) {
  absl::MutexLock lock(&mu_);
  if (over_) {
    return;
  }
  if (!started_) {
    early_.push_back({index, std::move(delta)});
    return;
  }
  Handle(index, delta);
}

void CompletionSession::Handle(size_t index, CompletionDelta& delta) {
  if (over_) {  // an earlier one of the early deltas ended it
    return;
  }
  Choice& choice = choices_[index];
  usage_[index] = delta.usage;
  if (!stream_.stream) {
    choice.text += delta.text;
  } else if (!delta.text.empty()) {
    WriteEvent(json_.TextChunk(static_cast<int>(index), delta.text), &delta.usage);
  }
  if (delta.finish_reason != FinishReason::kNone) {
    choice.finish_reason = delta.finish_reason;
    choice.stop_reason = std::move(delta.stop_reason);
    FinishChoice(index, delta);
  }
}

void CompletionSession::FinishChoice(size_t index, const CompletionDelta& delta) {
  if (delta.finish_reason == FinishReason::kError) {
    Fail(delta.error);
    return;
  }
  if (delta.finish_reason == FinishReason::kCancelled) {
    Fail(WithApiCode(absl::UnavailableError("the request was cancelled because this server is shutting down"),
                     "draining"));
    return;
  }
  if (stream_.stream) {
    WriteEvent(json_.FinishChunk(static_cast<int>(index), choices_[index]), &delta.usage);
  }
  if (--running_ == 0) {
    Complete();
  }
}

void CompletionSession::Complete() {
  over_ = true;
  completions_.clear();
  if (!stream_.stream) {
    writer_->Send({.status = 200, .body = Dump(json_.Whole(choices_, TotalUsage())), .headers = {}});
    return;
  }
  if (stream_.include_usage) {
    writer_->Write(absl::StrCat("data: ", Dump(json_.UsageChunk(TotalUsage())), "\n\n"));
  }
  writer_->Write("data: [DONE]\n\n");
  writer_->End();
}

void CompletionSession::Fail(const absl::Status& status) {
  over_ = true;
  CancelAll(std::exchange(completions_, {}));
  if (!stream_.stream || !started_) {
    writer_->Send(ErrorResponse(status));
    return;
  }
  writer_->Write(absl::StrCat("data: ", ErrorJson(ToApiError(status)), "\n\ndata: [DONE]\n\n"));
  writer_->End();
}

void CompletionSession::BeginStream() {
  writer_->StartStream({.status = 200,
                        .content_type = "text/event-stream; charset=utf-8",
                        .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}},
                        .ping_interval = ping_interval_,
                        .ping = ": ping\n\n"});
  for (size_t i = 0; i < choices_.size(); ++i) {
    if (Json first = json_.FirstChunk(static_cast<int>(i)); !first.is_null()) {
      WriteEvent(std::move(first), nullptr);
    }
  }
}

void CompletionSession::WriteEvent(Json json, const Usage* usage) {
  if (stream_.continuous_usage && usage != nullptr) {
    json["usage"] = UsageJson(*usage);
  } else if (stream_.include_usage) {
    json["usage"] = nullptr;
  }
  writer_->Write(absl::StrCat("data: ", Dump(json), "\n\n"));
}

Usage CompletionSession::TotalUsage() const {
  Usage total;
  for (const Usage& usage : usage_) {
    total.prompt_tokens += usage.prompt_tokens;
    total.completion_tokens += usage.completion_tokens;
    total.cached_tokens += usage.cached_tokens;
  }
  return total;
}

void CompletionSession::ClientGone() {
  std::vector<std::shared_ptr<Completion>> completions;
  {
    absl::MutexLock lock(&mu_);
    over_ = true;
    completions.swap(completions_);
  }
  CancelAll(completions);
}

void CompletionSession::CancelAll(const std::vector<std::shared_ptr<Completion>>& completions) {
  for (const auto& completion : completions) {
    completion->Cancel();
  }
}

}  // namespace tandem::router
