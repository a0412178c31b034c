#include "router/running_completion.h"

#include <algorithm>
#include <utility>

namespace tandem::router {

RunningCompletion::RunningCompletion(const CompletionRequest& request, std::vector<int32_t> prompt_tokens,
                                     bool begins_in_reasoning, const TextCodec& codec, CompletionSink sink,
                                     TokenEngine* engine, Executor* executor, CompletionMetrics* metrics)
    : prompt_tokens_(std::move(prompt_tokens)),
      engine_(engine),
      executor_(executor),
      metrics_(metrics),
      submitted_(absl::Now()),
      sink_(std::move(sink)),
      running_(request.sampling.n) {
  std::vector<std::string> visible;
  if (request.output != nullptr) {
    visible = MarkersOf(request.output->formats);
  }
  answers_.reserve(running_);
  for (size_t i = 0; i < running_; ++i) {
    answers_.emplace_back(request, begins_in_reasoning, codec.NewDecoder(request.skip_special_tokens, visible));
  }
}

void RunningCompletion::OnEvent(const TokenEvent& event) {
  {
    absl::MutexLock lock(&mu_);
    mailbox_.push_back(event);
    if (event.time == absl::Time()) {  // no step made it: a cancellation, a deadline
      mailbox_.back().time = absl::Now();
    }
    if (std::exchange(scheduled_, true)) {
      return;
    }
  }
  executor_->Post([self = shared_from_this()] { self->Drain(); });
}

void RunningCompletion::SetEngineId(uint64_t id) {
  std::vector<std::optional<int32_t>> cancels;
  {
    absl::MutexLock lock(&mu_);
    engine_id_ = id;
    cancels.swap(early_cancels_);
  }
  for (const std::optional<int32_t>& choice : cancels) {
    CancelInEngine(choice);
  }
}

void RunningCompletion::CancelInEngine(std::optional<int32_t> choice) {
  uint64_t id;
  {
    absl::MutexLock lock(&mu_);
    if (!engine_id_.has_value()) {
      early_cancels_.push_back(choice);
      return;
    }
    id = *engine_id_;
  }
  choice.has_value() ? engine_->CancelChoice(id, *choice) : engine_->Cancel(id);
}

void RunningCompletion::Cancel() {
  {
    absl::MutexLock lock(&mu_);
    if (std::exchange(cancelled_, true)) {
      return;
    }
  }
  CancelInEngine(std::nullopt);
}

void RunningCompletion::Drain() {
  while (true) {
    std::vector<TokenEvent> events;
    bool cancelled;
    {
      absl::MutexLock lock(&mu_);
      if (mailbox_.empty()) {
        scheduled_ = false;
        return;
      }
      events.swap(mailbox_);
      cancelled = cancelled_;
    }
    for (CompletionDelta& delta : TakeNews(events)) {
      if (!cancelled && sink_) {
        sink_(std::move(delta));
      }
    }
    if (running_ == 0) {
      sink_ = nullptr;  // it may own what owns this
    }
  }
}

std::vector<CompletionDelta> RunningCompletion::TakeNews(const std::vector<TokenEvent>& events) {
  std::vector<CompletionDelta> news;
  std::vector<int32_t> place(answers_.size(), -1);  // of each answer in `news`
  for (const TokenEvent& event : events) {
    if (answers_[event.choice].over()) {
      continue;  // what the engine still says after a stop string
    }
    if (place[event.choice] < 0) {
      place[event.choice] = static_cast<int32_t>(news.size());
      news.emplace_back().choice = event.choice;
    }
    Process(event, news[place[event.choice]]);
  }
  return news;
}

void RunningCompletion::Process(const TokenEvent& event, CompletionDelta& delta) {
  Answer& answer = answers_[event.choice];
  if (event.first != nullptr) {
    delta.first = event.first;
    cached_tokens_ = std::max(cached_tokens_, event.first->cached_tokens);
    queue_time_ = event.first->queue_time;
  }
  const absl::Time previous = answer.last_token();
  answer.Process(event, delta);
  if (event.token.has_value()) {
    CountToken(event, previous);
  }
  delta.usage = {.prompt_tokens = static_cast<int32_t>(prompt_tokens_.size()),
                 .completion_tokens = answer.tokens(),
                 .cached_tokens = cached_tokens_,
                 .reasoning_tokens = answer.reasoning_tokens()};
  if (!answer.over()) {
    return;
  }
  if (event.finish_reason == FinishReason::kNone) {
    CancelInEngine(event.choice);
  }
  if (--running_ == 0) {
    Finish(delta, event.time);
  }
}

void RunningCompletion::CountToken(const TokenEvent& event, absl::Time previous) {
  if (generated_tokens_++ == 0) {
    first_token_ = event.time;
    metrics_->FirstToken({.since_submission = event.time - submitted_,
                          .queue_time = queue_time_,
                          .prompt_tokens = static_cast<int32_t>(prompt_tokens_.size()),
                          .cached_tokens = cached_tokens_});
  }
  last_token_ = event.time;
  metrics_->Token(previous == absl::InfinitePast() ? std::nullopt : std::make_optional(event.time - previous));
}

void RunningCompletion::Finish(const CompletionDelta& last, absl::Time now) {
  int32_t longest = 0;
  for (const Answer& answer : answers_) {
    longest = std::max(longest, answer.tokens());
  }
  const bool started = generated_tokens_ > 0;
  metrics_->Finished({.reason = last.finish_reason,
                      .error = last.error,
                      .started = started,
                      .prompt_tokens = static_cast<int32_t>(prompt_tokens_.size()),
                      .generated_tokens = generated_tokens_,
                      .longest_answer = longest,
                      .total = now - submitted_,
                      .decode = started ? last_token_ - first_token_ : absl::ZeroDuration()});
}

}  // namespace tandem::router
