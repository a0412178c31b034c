// A token engine that a test plays by hand.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "router/testing/byte_codec.h"
#include "router/token_engine.h"

namespace tandem::router {

// Thread-safe. Ids count from 1 in order of submission. Cancelled answers end at once.
class FakeTokenEngine final : public TokenEngine {
 public:
  absl::StatusOr<uint64_t> Submit(GenerationRequest request, TokenSink sink) override;
  void Cancel(uint64_t id) override;
  void CancelChoice(uint64_t id, int32_t choice) override;
  absl::Status Health() const override;
  int32_t max_model_len() const override { return 1000; }
  int32_t vocab_size() const override { return ByteCodec::kVocabSize; }

  // What the next Submit answers.
  void RefuseWith(absl::Status status);
  void SetHealth(absl::Status status);

  // Waits until request `id` was submitted, and returns it.
  GenerationRequest AwaitSubmitted(uint64_t id);
  // Waits until all answers were cancelled that the test has not finished.
  void AwaitCancelled(uint64_t id);
  void AwaitChoiceCancelled(uint64_t id, int32_t choice);
  bool IsCancelled(uint64_t id) const;
  bool IsCancelled(uint64_t id, int32_t choice) const;

  // Emits one token per byte. Where the request asks for logprobs, they are LogprobsOf.
  void Emit(uint64_t id, absl::string_view text, int32_t choice = 0);
  // The last event of an answer, with or without a token.
  void Finish(uint64_t id, FinishReason reason, std::optional<int32_t> token = std::nullopt,
              absl::Status error = absl::OkStatus(), int32_t choice = 0);
  // The answer to a request for an embedding.
  void Embed(uint64_t id, std::vector<float> embedding);
  // Any event. Its time is now, unless it has one.
  void Send(uint64_t id, TokenEvent event);

  // Made up: the token itself is the second most likely one (-0.5), after 'e' (-0.25) and before '\xf0' (-1).
  static PositionLogprobs LogprobsOf(int32_t token, int32_t top);

 private:
  struct Sequence {
    GenerationRequest request;
    TokenSink sink;
    std::set<int32_t> begun;  // answers
    std::set<int32_t> finished;
    std::set<int32_t> cancelled;
  };

  bool AllOver(uint64_t id) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  TokenEvent Event(uint64_t id, int32_t choice, std::optional<int32_t> token);

  mutable absl::Mutex mu_;
  std::vector<Sequence> sequences_ ABSL_GUARDED_BY(mu_);
  absl::Status refusal_ ABSL_GUARDED_BY(mu_);
  absl::Status health_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tandem::router
