#include "router/grpc_api.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <pthread.h>

#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/http/message.h"
#include "router/api_keys.h"
#include "router/grpc_api_calls.h"
#include "tandem/chat/v1/chat_service.grpc.pb.h"

namespace tandem::router {
namespace {

namespace v1 = chat::v1;
using grpc::CallbackServerContext;

constexpr char kServiceName[] = "tandem.chat.v1.ChatService";
constexpr int kMinPingIntervalMs = 10'000;  // of clients that keep idle connections alive

absl::string_view Metadata(const CallbackServerContext& context, const char* name) {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find(name);
  return it == metadata.end() ? absl::string_view() : absl::string_view(it->second.data(), it->second.size());
}

class ChatServiceImpl final : public v1::ChatService::CallbackService {
 public:
  ChatServiceImpl(const GrpcApiOptions& options, CompletionService* service) : options_(options), service_(service) {}

  grpc::ServerUnaryReactor* Chat(CallbackServerContext* context, const v1::ChatRequest* request,
                                 v1::ChatResponse* response) override {
    response->mutable_message()->set_role("assistant");
    return Unary(*context, *request, response);
  }
  grpc::ServerUnaryReactor* Complete(CallbackServerContext* context, const v1::CompleteRequest* request,
                                     v1::CompleteResponse* response) override {
    return Unary(*context, *request, response);
  }
  grpc::ServerWriteReactor<v1::ChatStreamResponse>* ChatStream(CallbackServerContext* context,
                                                               const v1::ChatStreamRequest* request) override {
    return Stream<v1::ChatStreamResponse>(*context, *request);
  }
  grpc::ServerWriteReactor<v1::CompleteStreamResponse>* CompleteStream(
      CallbackServerContext* context, const v1::CompleteStreamRequest* request) override {
    return Stream<v1::CompleteStreamResponse>(*context, *request);
  }

  grpc::ServerUnaryReactor* Embed(CallbackServerContext* context, const v1::EmbedRequest* request,
                                  v1::EmbedResponse* response) override {
    absl::StatusOr<ApiEmbeddingRequest> parsed = Parse(*context, *request);
    if (!parsed.ok()) {
      grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
      reactor->Finish(ToGrpcStatus(parsed.status()));
      return reactor;
    }
    parsed->embedding.request_id = http::UsableRequestId(Metadata(*context, "x-request-id"));
    auto* reactor = new EmbedCall(service_, *std::move(parsed), response);  // deletes itself
    service_->executor().Post([job = reactor->job()] { job->Start(); });
    return reactor;
  }

  grpc::ServerUnaryReactor* ListModels(CallbackServerContext* context, const v1::ListModelsRequest*,
                                       v1::ListModelsResponse* response) override {
    const absl::Status allowed = Authorise(*context);
    if (allowed.ok()) {
      for (const std::string& name : options_.context.model_names) {
        v1::Model* model = response->add_models();
        model->set_id(name);
        model->set_max_model_len(options_.context.max_model_len);
      }
    }
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(allowed));
    return reactor;
  }

 private:
  absl::Status Authorise(const CallbackServerContext& context) const {
    if (IsAuthorised(options_.api_keys, Metadata(context, "authorization"))) {
      return absl::OkStatus();
    }
    return absl::UnauthenticatedError("a valid API key is needed: send metadata 'authorization: Bearer KEY'");
  }

  // Checked at once, as the request message dies with the call.
  template <class Request>
  auto Parse(const CallbackServerContext& context, const Request& request) const
      -> decltype(ToApiRequest(request, std::declval<RequestContext>())) {
    if (absl::Status allowed = Authorise(context); !allowed.ok()) {
      return allowed;
    }
    return ToApiRequest(request, options_.context);
  }

  CallInfo Info(const CallbackServerContext& context, const absl::StatusOr<ApiRequest>& parsed) const {
    CallInfo info;
    info.id = http::UsableRequestId(Metadata(context, "x-request-id"));
    info.codec = &service_->codec();
    if (parsed.ok()) {
      info.model = parsed->model;
      info.answers = parsed->completions.front().sampling.n;
    }
    return info;
  }

  template <class Request, class Response>
  grpc::ServerUnaryReactor* Unary(const CallbackServerContext& context, const Request& request, Response* response) {
    absl::StatusOr<ApiRequest> parsed = Parse(context, request);
    const CallInfo info = Info(context, parsed);
    auto* reactor = new UnaryCall<Response>(info, response);  // deletes itself
    Start(reactor->call(), info.id, std::move(parsed));
    return reactor;
  }

  template <class Response, class Request>
  grpc::ServerWriteReactor<Response>* Stream(const CallbackServerContext& context, const Request& request) {
    absl::StatusOr<ApiRequest> parsed = Parse(context, request);
    const CallInfo info = Info(context, parsed);
    auto* reactor = new StreamCall<Response>(info, options_.max_write_queue_bytes);  // deletes itself
    Start(reactor->call(), info.id, std::move(parsed));
    return reactor;
  }

  // Also errors come from the executor: a reactor must not finish before gRPC has taken it.
  void Start(std::shared_ptr<Call> call, const std::string& id, absl::StatusOr<ApiRequest> parsed) {
    if (!parsed.ok()) {
      service_->executor().Post([call = std::move(call), status = parsed.status()] { call->End(status); });
      return;
    }
    auto request = std::make_shared<CompletionRequest>(std::move(parsed->completions.front()));
    request->request_id = id;
    service_->executor().Post(
        [this, call = std::move(call), request = std::move(request)] { call->Start(*service_, std::move(*request)); });
  }

  const GrpcApiOptions& options_;
  CompletionService* const service_;
};

class GrpcApiImpl final : public GrpcApi {
 public:
  GrpcApiImpl(GrpcApiOptions options, CompletionService* service)
      : options_(std::move(options)), service_(service), chat_(options_, service) {}

  ~GrpcApiImpl() override { Shutdown(absl::ZeroDuration()); }

  absl::Status Listen() {
    static std::once_flag plugins;
    std::call_once(plugins, [] {
      grpc::EnableDefaultHealthCheckService(true);
      grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    });
    const std::string address =
        absl::StrCat(absl::StrContains(options_.host, ':') ? absl::StrCat("[", options_.host, "]") : options_.host, ":",
                     options_.port);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second server on the port is a mistake
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingIntervalMs);
    builder.RegisterService(&chat_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen for gRPC on ", address, "; is another server running? choose another port"));
    }
    RefreshHealth();
    health_thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "grpc-health");
      while (!stopping_.WaitForNotificationWithTimeout(options_.health_interval)) {
        RefreshHealth();
      }
    });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  void RefreshHealth() override {
    const bool serving = service_->Health().ok();
    server_->GetHealthCheckService()->SetServingStatus(serving);
    server_->GetHealthCheckService()->SetServingStatus(kServiceName, serving);
  }

  void Shutdown(absl::Duration grace) override {
    if (!health_thread_.joinable()) {
      return;
    }
    stopping_.Notify();
    health_thread_.join();
    server_->GetHealthCheckService()->Shutdown();
    server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
    server_->Wait();
  }

 private:
  const GrpcApiOptions options_;
  CompletionService* const service_;
  ChatServiceImpl chat_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  absl::Notification stopping_;
  std::thread health_thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcApi>> GrpcApi::Start(GrpcApiOptions options, CompletionService* service) {
  auto api = std::make_unique<GrpcApiImpl>(std::move(options), service);
  if (absl::Status status = api->Listen(); !status.ok()) {
    return status;
  }
  return api;
}

}  // namespace tandem::router
