// One completion, that is all answers to one prompt, between the engine and its sink. Internal to the completion layer.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "router/answer.h"
#include "router/completion.h"

namespace tandem::router {

// The engine's thread only puts events into a mailbox; one task at a time on the executor takes all that are there,
// turns them into one delta for each answer that has news, and hands these to the sink.
class RunningCompletion final : public Completion, public std::enable_shared_from_this<RunningCompletion> {
 public:
  // `codec` must outlive the constructor only.
  RunningCompletion(const CompletionRequest& request, std::vector<int32_t> prompt_tokens, bool begins_in_reasoning,
                    const TextCodec& codec, CompletionSink sink, TokenEngine* engine, Executor* executor,
                    CompletionMetrics* metrics);

  // Engine thread.
  void OnEvent(const TokenEvent& event);

  // After a successful Submit.
  void SetEngineId(uint64_t id);

  void Cancel() override;
  const std::vector<int32_t>& prompt_tokens() const override { return prompt_tokens_; }

 private:
  void Drain();

  // Executor only.
  std::vector<CompletionDelta> TakeNews(const std::vector<TokenEvent>& events);
  void Process(const TokenEvent& event, CompletionDelta& delta);
  void CountToken(const TokenEvent& event, absl::Time previous);
  void Finish(const CompletionDelta& last, absl::Time now);

  // All answers, or one. Remembered while the engine's id is not known yet.
  void CancelInEngine(std::optional<int32_t> choice);

  const std::vector<int32_t> prompt_tokens_;
  TokenEngine* const engine_;
  Executor* const executor_;
  CompletionMetrics* const metrics_;
  const absl::Time submitted_;

  absl::Mutex mu_;
  std::vector<TokenEvent> mailbox_ ABSL_GUARDED_BY(mu_);
  bool scheduled_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;  // the sink wants no more
  std::vector<std::optional<int32_t>> early_cancels_ ABSL_GUARDED_BY(mu_);
  std::optional<uint64_t> engine_id_ ABSL_GUARDED_BY(mu_);

  // Used by the executor's task only.
  CompletionSink sink_;
  std::vector<Answer> answers_;
  size_t running_;
  int32_t cached_tokens_ = 0;
  int32_t generated_tokens_ = 0;
  absl::Duration queue_time_;
  absl::Time first_token_ = absl::InfiniteFuture();
  absl::Time last_token_ = absl::InfinitePast();
};

}  // namespace tandem::router
