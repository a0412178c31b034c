// One completion between the engine and its sink. Internal to the completion layer.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "router/completion.h"
#include "router/stop_matcher.h"

namespace tandem::router {

// The engine's thread only puts events into a mailbox; one task at a time on the executor takes all that are there,
// turns them into one delta and hands it to the sink.
class RunningCompletion final : public Completion, public std::enable_shared_from_this<RunningCompletion> {
 public:
  RunningCompletion(const CompletionRequest& request, int32_t prompt_tokens,
                    std::unique_ptr<IncrementalDecoder> decoder, CompletionSink sink, TokenEngine* engine,
                    Executor* executor, CompletionMetrics* metrics);

  // Engine thread.
  void OnEvent(const TokenEvent& event);

  // After a successful Submit.
  void SetEngineId(uint64_t id);

  void Cancel() override;

 private:
  struct Arrival {
    TokenEvent event;
    absl::Time time;
  };

  void Drain();
  // Executor only; true when the sequence is over.
  bool Process(const Arrival& arrival, CompletionDelta& delta);
  void ProcessToken(const Arrival& arrival, CompletionDelta& delta);
  void AppendText(const std::string& text, CompletionDelta& delta);
  bool IsStopToken(int32_t token) const;
  void Finish(const CompletionDelta& delta, absl::Time now);
  void CancelInEngine();

  const std::vector<int32_t> stop_token_ids_;
  const int32_t min_tokens_;
  const bool include_stop_;
  const std::unique_ptr<IncrementalDecoder> decoder_;
  TokenEngine* const engine_;
  Executor* const executor_;
  CompletionMetrics* const metrics_;
  const absl::Time submitted_;

  absl::Mutex mu_;
  std::vector<Arrival> mailbox_ ABSL_GUARDED_BY(mu_);
  bool scheduled_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;  // the sink wants no more
  bool engine_cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<uint64_t> engine_id_ ABSL_GUARDED_BY(mu_);

  // Used by the executor's task only.
  CompletionSink sink_;
  StopMatcher stop_;
  Usage usage_;
  absl::Time first_token_;
  absl::Time last_token_;
  bool finished_ = false;
};

}  // namespace tandem::router
