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

// Thread-safe. Ids count from 1 in order of submission.
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
  void AwaitCancelled(uint64_t id);
  bool IsCancelled(uint64_t id) const;

  // Emits one token per byte.
  void Emit(uint64_t id, absl::string_view text);
  // The last event, with or without a token.
  void Finish(uint64_t id, FinishReason reason, std::optional<int32_t> token = std::nullopt,
              absl::Status error = absl::OkStatus());

 private:
  struct Sequence {
    GenerationRequest request;
    TokenSink sink;
  };

  TokenSink SinkOf(uint64_t id);

  mutable absl::Mutex mu_;
  std::vector<Sequence> sequences_ ABSL_GUARDED_BY(mu_);
  std::set<uint64_t> cancelled_ ABSL_GUARDED_BY(mu_);
  absl::Status refusal_ ABSL_GUARDED_BY(mu_);
  absl::Status health_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tandem::router
