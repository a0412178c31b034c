#include "router/running_completion.h"

#include <algorithm>
#include <utility>

namespace tandem::router {

RunningCompletion::RunningCompletion(const CompletionRequest& request, int32_t prompt_tokens,
                                     std::unique_ptr<IncrementalDecoder> decoder, CompletionSink sink,
                                     TokenEngine* engine, Executor* executor, CompletionMetrics* metrics)
    : stop_token_ids_(request.sampling.stop_token_ids),
      min_tokens_(request.sampling.min_tokens),
      include_stop_(request.include_stop_in_output),
      decoder_(std::move(decoder)),
      engine_(engine),
      executor_(executor),
      metrics_(metrics),
      submitted_(absl::Now()),
      sink_(std::move(sink)),
      stop_(request.stop, request.include_stop_in_output),
      usage_{.prompt_tokens = prompt_tokens, .completion_tokens = 0, .cached_tokens = 0} {}

void RunningCompletion::OnEvent(const TokenEvent& event) {
  {
    absl::MutexLock lock(&mu_);
    mailbox_.push_back({event, absl::Now()});
    if (std::exchange(scheduled_, true)) {
      return;
    }
  }
  executor_->Post([self = shared_from_this()] { self->Drain(); });
}

void RunningCompletion::SetEngineId(uint64_t id) {
  {
    absl::MutexLock lock(&mu_);
    engine_id_ = id;
    if (!engine_cancelled_) {
      return;
    }
  }
  engine_->Cancel(id);
}

void RunningCompletion::CancelInEngine() {
  std::optional<uint64_t> id;
  {
    absl::MutexLock lock(&mu_);
    if (std::exchange(engine_cancelled_, true)) {
      return;
    }
    id = engine_id_;
  }
  if (id.has_value()) {
    engine_->Cancel(*id);
  }
}

void RunningCompletion::Cancel() {
  {
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
  }
  CancelInEngine();
}

void RunningCompletion::Drain() {
  while (true) {
    std::vector<Arrival> arrivals;
    bool cancelled;
    {
      absl::MutexLock lock(&mu_);
      if (mailbox_.empty()) {
        scheduled_ = false;
        return;
      }
      arrivals.swap(mailbox_);
      cancelled = cancelled_;
    }
    if (finished_) {
      continue;  // what the engine still says after a stop string
    }
    CompletionDelta delta;
    for (const Arrival& arrival : arrivals) {
      if (Process(arrival, delta)) {
        finished_ = true;
        Finish(delta, arrival.time);
        break;
      }
    }
    delta.usage = usage_;
    if (!cancelled && sink_) {
      sink_(std::move(delta));
    }
    if (finished_) {
      sink_ = nullptr;  // it may own what owns this
    }
  }
}

bool RunningCompletion::Process(const Arrival& arrival, CompletionDelta& delta) {
  const TokenEvent& event = arrival.event;
  if (event.first != nullptr) {
    usage_.cached_tokens = event.first->cached_tokens;
  }
  if (event.token.has_value()) {
    ProcessToken(arrival, delta);
  }
  if (stop_.match() != nullptr) {
    delta.finish_reason = FinishReason::kStop;
    delta.stop_reason = *stop_.match();
    if (event.finish_reason == FinishReason::kNone) {
      CancelInEngine();
    }
    return true;
  }
  if (event.finish_reason == FinishReason::kNone) {
    return false;
  }
  AppendText(decoder_->Flush(), delta);
  delta.text += stop_.match() == nullptr ? stop_.Flush() : "";
  delta.finish_reason = event.finish_reason;
  delta.error = event.error;
  return true;
}

void RunningCompletion::ProcessToken(const Arrival& arrival, CompletionDelta& delta) {
  const int32_t token = *arrival.event.token;
  delta.token_ids.push_back(token);
  if (usage_.completion_tokens++ == 0) {
    first_token_ = arrival.time;
    metrics_->FirstToken(arrival.time - submitted_, usage_.prompt_tokens, usage_.cached_tokens);
  } else {
    metrics_->NextToken(arrival.time - last_token_);
  }
  last_token_ = arrival.time;
  const bool ends_here = arrival.event.finish_reason == FinishReason::kStop;
  if (ends_here && IsStopToken(token)) {
    delta.stop_reason = token;
  }
  if (!ends_here || include_stop_) {
    AppendText(decoder_->Push(token), delta);
  }
}

// Stop strings count only once the minimum length is reached.
void RunningCompletion::AppendText(const std::string& text, CompletionDelta& delta) {
  delta.text += usage_.completion_tokens < min_tokens_ ? text : stop_.Push(text);
}

bool RunningCompletion::IsStopToken(int32_t token) const {
  return std::find(stop_token_ids_.begin(), stop_token_ids_.end(), token) != stop_token_ids_.end();
}

void RunningCompletion::Finish(const CompletionDelta& delta, absl::Time now) {
  const bool started = usage_.completion_tokens > 0;
  metrics_->Finished({.reason = delta.finish_reason,
                      .error = delta.error,
                      .started = started,
                      .prompt_tokens = usage_.prompt_tokens,
                      .generated_tokens = usage_.completion_tokens,
                      .total = now - submitted_,
                      .decode = started ? last_token_ - first_token_ : absl::ZeroDuration()});
}

}  // namespace tandem::router
