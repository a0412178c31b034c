// One gRPC call: a reactor of gRPC's callback API in front of one completion. Internal to the gRPC API.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "router/api_error.h"
#include "router/grpc_api_convert.h"
#include "router/grpc_api_status.h"

namespace tandem::router {

// Where a call's deltas go: the reactor.
class DeltaReceiver {
 public:
  virtual ~DeltaReceiver() = default;
  // Takes a delta; never two at a time, never after Close. A status ends the call with it.
  virtual std::optional<absl::Status> Receive(const CompletionDelta& delta) = 0;
  // The call has ended. Called once; the receiver may then go away at any time.
  virtual void Close(const absl::Status& status) = 0;
};

// Joins a receiver and its completion, whichever of them ends first. Outlives the reactor: deltas may still come when
// the client has gone.
class Call : public std::enable_shared_from_this<Call> {
 public:
  explicit Call(DeltaReceiver* receiver) : receiver_(receiver) {}

  // On the executor.
  void Start(CompletionService& service, CompletionRequest request);

  // Ends the call, once; stops generation unless `status` is OK.
  void End(const absl::Status& status);

 private:
  void OnDelta(const CompletionDelta& delta);

  absl::Mutex mu_;  // held while the receiver takes a delta, so that it cannot be closed meanwhile
  DeltaReceiver* receiver_ ABSL_GUARDED_BY(mu_);  // null once the call has ended
  std::shared_ptr<Completion> completion_ ABSL_GUARDED_BY(mu_);
};

// The whole answer at once.
template <class Response>
class UnaryCall final : public grpc::ServerUnaryReactor, public DeltaReceiver {
 public:
  UnaryCall(CallInfo info, Response* response)
      : info_(std::move(info)), response_(response), running_(info_.answers), usage_(info_.answers) {
    response->set_id(info_.id);
    response->set_model(info_.model);
  }

  const std::shared_ptr<Call>& call() const { return call_; }

  std::optional<absl::Status> Receive(const CompletionDelta& delta) override {
    AppendToWhole(delta, info_, *response_);
    usage_[delta.choice] = delta.usage;
    running_ -= delta.finish_reason != FinishReason::kNone;
    if (running_ > 0) {
      return std::nullopt;
    }
    FillUsage(SumUsage(usage_), *response_->mutable_usage());
    return absl::OkStatus();
  }
  void Close(const absl::Status& status) override { Finish(ToGrpcStatus(status)); }

  void OnCancel() override { call_->End(absl::CancelledError("the client cancelled the call")); }
  void OnDone() override { delete this; }

 private:
  const CallInfo info_;
  Response* const response_;
  int32_t running_;           // answers
  std::vector<Usage> usage_;  // of each answer
  const std::shared_ptr<Call> call_ = std::make_shared<Call>(this);
};

// One message for each delta. One write is under way at a time; the others wait in a bounded queue.
template <class Response>
class StreamCall final : public grpc::ServerWriteReactor<Response>, public DeltaReceiver {
 public:
  StreamCall(CallInfo info, size_t max_queue_bytes)
      : info_(std::move(info)), max_queue_bytes_(max_queue_bytes), running_(info_.answers) {}

  const std::shared_ptr<Call>& call() const { return call_; }

  std::optional<absl::Status> Receive(const CompletionDelta& delta) override {
    Response response;
    response.set_id(info_.id);
    response.set_model(info_.model);
    response.set_index(delta.choice);
    AppendDelta(delta, *info_.codec, response);
    FillUsage(delta.usage, *response.mutable_usage());
    {
      absl::MutexLock lock(&mu_);
      queued_bytes_ += response.ByteSizeLong();
      if (queued_bytes_ > max_queue_bytes_) {
        return absl::ResourceExhaustedError("the client reads too slowly");
      }
      queue_.push_back(std::move(response));
    }
    Advance();
    running_ -= delta.finish_reason != FinishReason::kNone;
    return running_ > 0 ? std::nullopt : std::make_optional(absl::OkStatus());
  }

  void Close(const absl::Status& status) override {
    {
      absl::MutexLock lock(&mu_);
      if (!status.ok()) {
        queue_.clear();
      }
      end_ = ToGrpcStatus(status);
    }
    Advance();
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mu_);
      busy_ = false;
      queued_bytes_ -= current_.ByteSizeLong();
    }
    if (!ok) {
      call_->End(absl::CancelledError("the client went away"));
    }
    Advance();
  }
  void OnCancel() override { call_->End(absl::CancelledError("the client cancelled the call")); }
  void OnDone() override { delete this; }

 private:
  // Starts what comes next if nothing is under way: a write, or the end. Nothing here is touched after Finish.
  void Advance() {
    std::optional<grpc::Status> end;
    {
      absl::MutexLock lock(&mu_);
      if (busy_ || (queue_.empty() && !end_.has_value())) {
        return;
      }
      busy_ = true;
      if (!queue_.empty()) {
        current_ = std::move(queue_.front());
        queue_.pop_front();
      } else {
        end = std::move(end_);
      }
    }
    if (end.has_value()) {
      this->Finish(*std::move(end));
    } else {
      this->StartWrite(&current_);
    }
  }

  const CallInfo info_;
  const size_t max_queue_bytes_;
  int32_t running_;  // answers
  const std::shared_ptr<Call> call_ = std::make_shared<Call>(this);

  absl::Mutex mu_;
  std::deque<Response> queue_ ABSL_GUARDED_BY(mu_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // including the write under way
  bool busy_ ABSL_GUARDED_BY(mu_) = false;        // a write is under way, or the end has begun
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mu_);
  Response current_;  // being written
};

// All embeddings at once.
class EmbedCall final : public grpc::ServerUnaryReactor {
 public:
  EmbedCall(CompletionService* service, ApiEmbeddingRequest request, chat::v1::EmbedResponse* response);

  const std::shared_ptr<EmbeddingJob>& job() const { return job_; }

  void OnCancel() override;
  void OnDone() override { delete this; }

 private:
  const std::shared_ptr<EmbeddingJob> job_;
};

}  // namespace tandem::router
