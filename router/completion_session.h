// One HTTP completion request from submission to its last byte: runs its prompts, and writes the answers as one JSON
// response or as a stream of server-sent events. A client that goes away, or an error in one answer, cancels the
// others.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/http/message.h"
#include "router/completion.h"
#include "router/request_parser.h"
#include "router/response_json.h"

namespace tandem::router {

class CompletionSession : public std::enable_shared_from_this<CompletionSession> {
 public:
  CompletionSession(ResponseJson json, StreamOptions stream, absl::Duration ping_interval,
                    std::shared_ptr<http::ResponseWriter> writer);

  // Submits every completion. Errors go to the client. Keeps itself alive until the response is complete.
  void Start(CompletionService& service, std::vector<CompletionRequest> requests);

 private:
  struct Early {
    size_t prompt;
    CompletionDelta delta;
  };

  void OnDelta(size_t prompt, CompletionDelta delta);
  void Prepare(const std::vector<CompletionRequest>& requests) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Handle(size_t prompt, CompletionDelta& delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Collect(CompletionDelta& delta, Choice& choice) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FinishChoice(size_t index, const CompletionDelta& delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Complete() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BeginStream() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteEvent(Json json, const Usage* usage) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Usage TotalUsage() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ClientGone();
  void CancelAll(const std::vector<std::shared_ptr<Completion>>& completions);

  const ResponseJson json_;
  const StreamOptions stream_;
  const absl::Duration ping_interval_;
  const std::shared_ptr<http::ResponseWriter> writer_;

  absl::Mutex mu_;
  bool started_ ABSL_GUARDED_BY(mu_) = false;      // all were submitted
  bool over_ ABSL_GUARDED_BY(mu_) = false;         // answered, failed, or the client is gone
  size_t running_ ABSL_GUARDED_BY(mu_) = 0;        // choices
  std::vector<Early> early_ ABSL_GUARDED_BY(mu_);  // deltas that came while others were still being submitted
  size_t answers_ ABSL_GUARDED_BY(mu_) = 1;        // for each prompt
  std::vector<PromptInfo> prompts_ ABSL_GUARDED_BY(mu_);
  std::vector<Choice> choices_ ABSL_GUARDED_BY(mu_);  // [prompts * answers]
  std::vector<Usage> usage_ ABSL_GUARDED_BY(mu_);     // of each choice
  std::vector<std::shared_ptr<Completion>> completions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tandem::router
