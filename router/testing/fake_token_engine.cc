#include "router/testing/fake_token_engine.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"

namespace tandem::router {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);  // a hung test fails instead

}  // namespace

absl::StatusOr<uint64_t> FakeTokenEngine::Submit(GenerationRequest request, TokenSink sink) {
  absl::MutexLock lock(&mu_);
  if (!refusal_.ok()) {
    return std::exchange(refusal_, absl::OkStatus());
  }
  sequences_.push_back({std::move(request), std::move(sink), {}, {}, {}});
  return sequences_.size();
}

void FakeTokenEngine::Cancel(uint64_t id) {
  const int32_t answers = AwaitSubmitted(id).sampling.n;
  for (int32_t choice = 0; choice < answers; ++choice) {
    CancelChoice(id, choice);
  }
}

void FakeTokenEngine::CancelChoice(uint64_t id, int32_t choice) {
  {
    absl::MutexLock lock(&mu_);
    if (sequences_[id - 1].finished.count(choice) > 0) {
      return;
    }
    sequences_[id - 1].cancelled.insert(choice);
  }
  Finish(id, FinishReason::kCancelled, std::nullopt, absl::OkStatus(), choice);
}

absl::Status FakeTokenEngine::Health() const {
  absl::MutexLock lock(&mu_);
  return health_;
}

void FakeTokenEngine::RefuseWith(absl::Status status) {
  absl::MutexLock lock(&mu_);
  refusal_ = std::move(status);
}

void FakeTokenEngine::SetHealth(absl::Status status) {
  absl::MutexLock lock(&mu_);
  health_ = std::move(status);
}

GenerationRequest FakeTokenEngine::AwaitSubmitted(uint64_t id) {
  absl::MutexLock lock(&mu_);
  const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return sequences_.size() >= id; };
  TANDEM_CHECK(mu_.AwaitWithTimeout(absl::Condition(&there), kPatience), "request ", id, " was not submitted");
  return sequences_[id - 1].request;
}

bool FakeTokenEngine::AllOver(uint64_t id) const {
  const Sequence& sequence = sequences_[id - 1];
  return static_cast<int32_t>(sequence.finished.size()) == sequence.request.sampling.n && !sequence.cancelled.empty();
}

void FakeTokenEngine::AwaitCancelled(uint64_t id) {
  absl::MutexLock lock(&mu_);
  const auto over = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return sequences_.size() >= id && AllOver(id); };
  TANDEM_CHECK(mu_.AwaitWithTimeout(absl::Condition(&over), kPatience), "request ", id, " was not cancelled");
}

void FakeTokenEngine::AwaitChoiceCancelled(uint64_t id, int32_t choice) {
  absl::MutexLock lock(&mu_);
  const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return sequences_[id - 1].cancelled.count(choice) > 0; };
  TANDEM_CHECK(mu_.AwaitWithTimeout(absl::Condition(&there), kPatience), "request ", id, " goes on with ", choice);
}

bool FakeTokenEngine::IsCancelled(uint64_t id) const {
  absl::MutexLock lock(&mu_);
  return AllOver(id);
}

bool FakeTokenEngine::IsCancelled(uint64_t id, int32_t choice) const {
  absl::MutexLock lock(&mu_);
  return sequences_[id - 1].cancelled.count(choice) > 0;
}

PositionLogprobs FakeTokenEngine::LogprobsOf(int32_t token, int32_t top) {
  PositionLogprobs position;
  position.chosen = {token, -0.5f, 2};
  position.top = {{'e', -0.25f, 1}, {token, -0.5f, 2}, {0xf0, -1.0f, 3}};
  position.top.resize(std::min<size_t>(top, position.top.size()));
  return position;
}

void FakeTokenEngine::Send(uint64_t id, TokenEvent event) {
  TokenSink sink;
  {
    absl::MutexLock lock(&mu_);
    Sequence& sequence = sequences_[id - 1];
    if (sequence.finished.count(event.choice) > 0) {
      return;
    }
    if (event.finish_reason != FinishReason::kNone) {
      sequence.finished.insert(event.choice);
    }
    const bool last = static_cast<int32_t>(sequence.finished.size()) == sequence.request.sampling.n;
    sink = last ? std::exchange(sequence.sink, nullptr) : sequence.sink;
  }
  if (event.time == absl::Time()) {
    event.time = absl::Now();
  }
  if (sink) {
    sink(event);
  }
}

TokenEvent FakeTokenEngine::Event(uint64_t id, int32_t choice, std::optional<int32_t> token) {
  TokenEvent event;
  event.choice = choice;
  event.token = token;
  absl::MutexLock lock(&mu_);
  Sequence& sequence = sequences_[id - 1];
  const SamplingParams& sampling = sequence.request.sampling;
  if (token.has_value() && sampling.logprobs.has_value()) {
    event.logprobs = std::make_shared<PositionLogprobs>(LogprobsOf(*token, *sampling.logprobs));
  }
  if (sequence.begun.insert(choice).second) {
    auto first = std::make_shared<FirstEventInfo>();
    first->queue_time = absl::Milliseconds(1);
    for (size_t i = 1; i < sequence.request.prompt.size() && choice == 0 && sampling.prompt_logprobs; ++i) {
      first->prompt_logprobs.push_back(LogprobsOf(sequence.request.prompt[i], *sampling.prompt_logprobs));
    }
    event.first = std::move(first);
  }
  return event;
}

void FakeTokenEngine::Emit(uint64_t id, absl::string_view text, int32_t choice) {
  for (char c : text) {
    Send(id, Event(id, choice, static_cast<unsigned char>(c)));
  }
}

void FakeTokenEngine::Embed(uint64_t id, std::vector<float> embedding) {
  TokenEvent event;
  event.finish_reason = FinishReason::kStop;
  event.embedding = std::make_shared<const std::vector<float>>(std::move(embedding));
  Send(id, std::move(event));
}

void FakeTokenEngine::Finish(uint64_t id, FinishReason reason, std::optional<int32_t> token, absl::Status error,
                             int32_t choice) {
  TokenEvent event = Event(id, choice, token);
  event.finish_reason = reason;
  event.error = std::move(error);
  Send(id, std::move(event));
}

}  // namespace tandem::router
