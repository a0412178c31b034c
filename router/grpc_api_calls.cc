#include "router/grpc_api_calls.h"

namespace tandem::router {

void Call::Start(CompletionService& service, CompletionRequest request) {
  auto completion =
      service.Start(std::move(request), [self = shared_from_this()](CompletionDelta delta) { self->OnDelta(delta); });
  if (!completion.ok()) {
    End(completion.status());
    return;
  }
  {
    absl::MutexLock lock(&mu_);
    if (receiver_ != nullptr) {
      completion_ = *std::move(completion);
      return;
    }
  }
  (*completion)->Cancel();  // ended already; cancelling what has finished does nothing
}

void Call::End(const absl::Status& status) {
  DeltaReceiver* receiver;
  std::shared_ptr<Completion> completion;
  {
    absl::MutexLock lock(&mu_);
    receiver = std::exchange(receiver_, nullptr);
    completion = std::move(completion_);
  }
  if (completion != nullptr && !status.ok()) {
    completion->Cancel();
  }
  if (receiver != nullptr) {
    receiver->Close(status);
  }
}

void Call::OnDelta(const CompletionDelta& delta) {
  if (delta.finish_reason == FinishReason::kError) {
    End(delta.error);
    return;
  }
  if (delta.finish_reason == FinishReason::kCancelled) {
    End(WithApiCode(absl::UnavailableError("the request was cancelled because this server is shutting down"),
                    "draining"));
    return;
  }
  std::optional<absl::Status> end;
  {
    absl::MutexLock lock(&mu_);
    if (receiver_ != nullptr) {
      end = receiver_->Receive(delta);
    }
  }
  if (end.has_value()) {
    End(*end);
  }
}

EmbedCall::EmbedCall(CompletionService* service, ApiEmbeddingRequest request, chat::v1::EmbedResponse* response)
    : job_(std::make_shared<EmbeddingJob>(service, std::move(request.embedding),
                                          [this, response](absl::StatusOr<EmbeddingResult> result) {
                                            if (result.ok()) {
                                              FillEmbeddings(*result, *response);
                                            }
                                            Finish(ToGrpcStatus(result.status()));
                                          })) {
  response->set_model(request.model);
}

void EmbedCall::OnCancel() {
  if (job_->Cancel()) {
    Finish(ToGrpcStatus(absl::CancelledError("the client cancelled the call")));
  }
}

}  // namespace tandem::router
