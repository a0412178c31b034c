#include "router/testing/fake_token_engine.h"

#include <utility>

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
  sequences_.push_back({std::move(request), std::move(sink)});
  return sequences_.size();
}

void FakeTokenEngine::Cancel(uint64_t id) {
  {
    absl::MutexLock lock(&mu_);
    cancelled_.insert(id);
  }
  Finish(id, FinishReason::kCancelled);
}

void FakeTokenEngine::CancelChoice(uint64_t id, int32_t) { Cancel(id); }

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

void FakeTokenEngine::AwaitCancelled(uint64_t id) {
  absl::MutexLock lock(&mu_);
  const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return cancelled_.count(id) > 0; };
  TANDEM_CHECK(mu_.AwaitWithTimeout(absl::Condition(&there), kPatience), "request ", id, " was not cancelled");
}

bool FakeTokenEngine::IsCancelled(uint64_t id) const {
  absl::MutexLock lock(&mu_);
  return cancelled_.count(id) > 0;
}

TokenSink FakeTokenEngine::SinkOf(uint64_t id) {
  absl::MutexLock lock(&mu_);
  return sequences_[id - 1].sink;
}

void FakeTokenEngine::Emit(uint64_t id, absl::string_view text) {
  const TokenSink sink = SinkOf(id);
  for (char c : text) {
    TokenEvent event;
    event.token = static_cast<unsigned char>(c);
    if (sink) sink(event);
  }
}

void FakeTokenEngine::Finish(uint64_t id, FinishReason reason, std::optional<int32_t> token, absl::Status error) {
  TokenSink sink;
  {
    absl::MutexLock lock(&mu_);
    sink = std::exchange(sequences_[id - 1].sink, nullptr);
  }
  if (sink) {
    TokenEvent event;
    event.token = token;
    event.finish_reason = reason;
    event.error = std::move(error);
    sink(event);
  }
}

}  // namespace tandem::router
