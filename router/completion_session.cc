#include "router/completion_session.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "router/api_error.h"
#include "router/http_response.h"

namespace tandem::router {

CompletionSession::CompletionSession(ResponseJson json, StreamOptions stream, absl::Duration ping_interval,
                                     std::shared_ptr<http::ResponseWriter> writer)
    : json_(std::move(json)), stream_(stream), ping_interval_(ping_interval), writer_(std::move(writer)) {}

void CompletionSession::Start(CompletionService& service, std::vector<CompletionRequest> requests) {
  {
    absl::MutexLock lock(&mu_);
    Prepare(requests);
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
    prompts_[i].token_ids = (*completion)->prompt_tokens();
    if (json_.options().echo && prompts_[i].text.empty()) {
      prompts_[i].text = service.codec().Decode(prompts_[i].token_ids, /*skip_special_tokens=*/true);
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
    Handle(early.prompt, early.delta);
  }
}

// What is known before submission.
void CompletionSession::Prepare(const std::vector<CompletionRequest>& requests) {
  answers_ = requests.front().sampling.n;
  prompts_.resize(requests.size());
  running_ = requests.size() * answers_;
  choices_.resize(running_);
  usage_.resize(running_);
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto* text = std::get_if<TextPrompt>(&requests[i].prompt);
    if (text != nullptr && !requests[i].truncate_prompt_tokens.has_value()) {
      prompts_[i].text = text->text;
    }
  }
}

void CompletionSession::OnDelta(size_t prompt, CompletionDelta delta) {
  absl::MutexLock lock(&mu_);
  if (over_) {
    return;
  }
  if (!started_) {
    early_.push_back({prompt, std::move(delta)});
    return;
  }
  Handle(prompt, delta);
}

void CompletionSession::Handle(size_t prompt, CompletionDelta& delta) {
  if (over_) {  // an earlier one of the early deltas ended it
    return;
  }
  const size_t index = prompt * answers_ + delta.choice;
  Choice& choice = choices_[index];
  usage_[index] = delta.usage;
  if (delta.first != nullptr && delta.choice == 0) {
    prompts_[prompt].first = delta.first;
  }
  if (!stream_.stream) {
    Collect(delta, choice);
  } else {
    for (Json& chunk : json_.DeltaChunks(delta, static_cast<int>(index), choice)) {
      WriteEvent(std::move(chunk), &delta.usage);
    }
  }
  choice.has_tool_calls = delta.has_tool_calls;
  if (delta.finish_reason != FinishReason::kNone) {
    choice.finish_reason = delta.finish_reason;
    choice.stop_reason = std::move(delta.stop_reason);
    FinishChoice(index, delta);
  }
}

void CompletionSession::Collect(CompletionDelta& delta, Choice& choice) {
  choice.text += delta.text;
  for (const OutputEvent& event : delta.events.list()) {
    choice.message.Add(event);
  }
  choice.token_ids.insert(choice.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
  std::move(delta.logprobs.begin(), delta.logprobs.end(), std::back_inserter(choice.logprobs));
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
    writer_->Send({.status = 200, .body = Dump(json_.Whole(choices_, prompts_, TotalUsage())), .headers = {}});
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
    if (Json first = json_.FirstChunk(static_cast<int>(i), prompts_[i / answers_]); !first.is_null()) {
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
  for (size_t i = 0; i < usage_.size(); i += answers_) {
    const Usage usage = SumUsage(absl::MakeConstSpan(usage_).subspan(i, answers_));
    total.prompt_tokens += usage.prompt_tokens;
    total.completion_tokens += usage.completion_tokens;
    total.cached_tokens += usage.cached_tokens;
    total.reasoning_tokens += usage.reasoning_tokens;
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
