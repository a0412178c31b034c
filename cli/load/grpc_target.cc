#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <unordered_set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "cli/load/target.h"
#include "tandem/chat/v1/chat_service.grpc.pb.h"

namespace tandem::cli {
namespace {

using chat::v1::ChatService;
using chat::v1::ChatStreamRequest;
using chat::v1::ChatStreamResponse;
using chat::v1::CompleteStreamRequest;
using chat::v1::CompleteStreamResponse;

// The calls under way, so that they can be cancelled and waited for. Shared with the calls, which leave it last.
class RunningCalls {
 public:
  void Add(grpc::ClientContext* call) {
    absl::MutexLock lock(&mutex_);
    ++unfinished_;
    cancellable_.insert(call);
  }
  // The call has ended; `call` is about to be destroyed.
  void Forget(grpc::ClientContext* call) {
    absl::MutexLock lock(&mutex_);
    cancellable_.erase(call);
  }
  // It is destroyed, and with it its hold on the channel.
  void Finished() {
    absl::MutexLock lock(&mutex_);
    --unfinished_;
  }
  void CancelAndWait() {
    absl::MutexLock lock(&mutex_);
    for (grpc::ClientContext* call : cancellable_) {
      call->TryCancel();
    }
    mutex_.Await(absl::Condition(
        +[](int* unfinished) { return *unfinished == 0; }, &unfinished_));
  }

 private:
  absl::Mutex mutex_;
  std::unordered_set<grpc::ClientContext*> cancellable_ ABSL_GUARDED_BY(mutex_);
  int unfinished_ ABSL_GUARDED_BY(mutex_) = 0;
};

std::string ErrorOf(const grpc::Status& status, bool finished) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return finished ? "" : "incomplete";
    case grpc::StatusCode::CANCELLED:
      return "cancelled";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "timeout";
    default:
      return absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
  }
}

// One streamed call; deletes itself when gRPC is done with it.
template <class Response>
class StreamCall final : public grpc::ClientReadReactor<Response> {
 public:
  StreamCall(std::shared_ptr<RequestMeter> meter, std::shared_ptr<RunningCalls> running)
      : meter_(std::move(meter)), running_(std::move(running)) {
    running_->Add(&context_);
  }

  grpc::ClientContext* context() { return &context_; }

  // The call is set up on this reactor.
  void Begin() {
    meter_->Sent(absl::Now());
    this->StartRead(&response_);
    this->StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      return;
    }
    if (!response_.text().empty() || response_.token_ids_size() > 0) {
      meter_->Output(absl::Now(), response_.usage().completion_tokens());
    }
    if (response_.finish_reason() != chat::v1::FINISH_REASON_UNSPECIFIED) {
      finished_ = absl::Now();
      meter_->Usage(response_.usage().prompt_tokens(), response_.usage().completion_tokens());
    }
    this->StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    meter_->End(finished_.value_or(absl::Now()), ErrorOf(status, finished_.has_value()));
    const std::shared_ptr<RunningCalls> running = running_;
    running->Forget(&context_);
    delete this;
    // Only now: a channel must not be destroyed on gRPC's own thread, so the target's reference has to be the last.
    running->Finished();
  }

 private:
  const std::shared_ptr<RequestMeter> meter_;
  const std::shared_ptr<RunningCalls> running_;
  grpc::ClientContext context_;
  Response response_;
  std::optional<absl::Time> finished_;
};

class GrpcTarget final : public Target {
 public:
  explicit GrpcTarget(const TargetOptions& options) : options_(options) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = ChatService::NewStub(grpc::CreateCustomChannel(options.url, grpc::InsecureChannelCredentials(), arguments));
  }

  ~GrpcTarget() override { running_->CancelAndWait(); }

  absl::Status AskForModel() {
    grpc::ClientContext context;
    Prepare(context, absl::Seconds(30));
    chat::v1::ListModelsResponse response;
    const grpc::Status status = stub_->ListModels(&context, {}, &response);
    if (!status.ok()) {
      return {static_cast<absl::StatusCode>(status.error_code()),
              absl::StrCat("no answer from ", options_.url, " over gRPC: ", status.error_message())};
    }
    for (const chat::v1::Model& model : response.models()) {
      if (options_.model.empty() || model.id() == options_.model) {
        model_.name = model.id();
        return absl::OkStatus();
      }
    }
    return absl::NotFoundError(absl::StrCat(options_.url, " serves no model ", options_.model));
  }

  const TargetModel& model() const override { return model_; }

  void Send(const LoadRequest& request, std::shared_ptr<RequestMeter> meter) override {
    if (const auto* chat = std::get_if<ChatMessages>(&request.prompt)) {
      ChatStreamRequest message = Common<ChatStreamRequest>(request);
      for (const auto& entry : chat->messages) {
        chat::v1::ChatMessage* added = message.add_messages();
        added->set_role(entry.value("role", ""));
        if (entry.contains("content") && entry["content"].is_string()) {
          added->set_content(entry["content"].get<std::string>());
        }
      }
      Start<ChatStreamResponse>(std::move(meter), [&](grpc::ClientContext* context, auto* call) {
        stub_->async()->ChatStream(context, &message, call);
      });
      return;
    }
    CompleteStreamRequest message = Common<CompleteStreamRequest>(request);
    if (const auto* tokens = std::get_if<TokenPrompt>(&request.prompt)) {
      message.mutable_tokens()->mutable_ids()->Assign(tokens->begin(), tokens->end());
    } else {
      message.set_text(std::get<TextPrompt>(request.prompt));
    }
    Start<CompleteStreamResponse>(std::move(meter), [&](grpc::ClientContext* context, auto* call) {
      stub_->async()->CompleteStream(context, &message, call);
    });
  }

 private:
  void Prepare(grpc::ClientContext& context, absl::Duration timeout) const {
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    if (!options_.api_key.empty()) {
      context.AddMetadata("authorization", absl::StrCat("Bearer ", options_.api_key));
    }
  }

  template <class Message>
  Message Common(const LoadRequest& request) const {
    Message message;
    message.set_model(model_.name);
    chat::v1::GenerationOptions* generation = message.mutable_options();
    if (options_.temperature.has_value()) {
      generation->set_temperature(*options_.temperature);
    }
    if (options_.sampling_seed.has_value()) {
      generation->set_seed(*options_.sampling_seed);
    }
    if (request.max_tokens > 0) {
      generation->set_max_tokens(request.max_tokens);
    }
    if (request.ignore_eos) {
      generation->set_ignore_eos(true);
    }
    return message;
  }

  // gRPC serialises the request while `set_up` runs.
  template <class Response, class SetUp>
  void Start(std::shared_ptr<RequestMeter> meter, SetUp set_up) {
    auto* call = new StreamCall<Response>(std::move(meter), running_);
    Prepare(*call->context(), options_.timeout);
    set_up(call->context(), call);
    call->Begin();
  }

  const TargetOptions options_;
  TargetModel model_;
  const std::shared_ptr<RunningCalls> running_ = std::make_shared<RunningCalls>();
  std::unique_ptr<ChatService::Stub> stub_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Target>> ConnectGrpcTarget(const TargetOptions& options) {
  auto target = std::make_unique<GrpcTarget>(options);
  RETURN_IF_ERROR(target->AskForModel());
  return target;
}

}  // namespace tandem::cli
