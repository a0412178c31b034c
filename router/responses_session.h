// One request of /v1/responses over HTTP, from submission to its last byte: one answer, as one JSON response or as a
// stream of OpenAI's typed events. A client that goes away cancels it.
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/http/message.h"
#include "router/completion.h"
#include "router/responses_parser.h"

namespace tandem::router {

class ResponsesSession : public std::enable_shared_from_this<ResponsesSession> {
 public:
  // `id` is that of the request.
  ResponsesSession(ApiResponsesRequest request, const std::string& id, absl::Duration ping_interval,
                   std::shared_ptr<http::ResponseWriter> writer);

  // On the executor. Errors go to the client. Keeps itself alive until the response is complete.
  void Start(CompletionService& service);

 private:
  void OnDelta(const CompletionDelta& delta);
  void BeginStream() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Complete(FinishReason reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Nothing in a response that is not streamed.
  void WriteEvent(const char* type, Json fields) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `status`: in_progress, completed or incomplete.
  Json ResponseJson(const char* status) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Json ItemJson(const char* status) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Json PartJson() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string id_;
  const std::string item_id_;
  const int64_t created_;
  const absl::Duration ping_interval_;
  const std::shared_ptr<http::ResponseWriter> writer_;
  const bool stream_;

  absl::Mutex mu_;  // held while the request is submitted, so that no delta comes before
  ApiResponsesRequest request_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<Completion> completion_ ABSL_GUARDED_BY(mu_);
  std::string text_ ABSL_GUARDED_BY(mu_);
  Usage usage_ ABSL_GUARDED_BY(mu_);
  int sequence_number_ ABSL_GUARDED_BY(mu_) = 0;
  bool over_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace tandem::router
