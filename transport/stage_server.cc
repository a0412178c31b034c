// The served end of a line between stages.
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_callback.h>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "base/status.h"
#include "tandem/stage/v1/stage_service.grpc.pb.h"
#include "transport/proto_convert.h"
#include "transport/stage_stream.h"

namespace tandem::transport {
namespace {

constexpr int kMinPingIntervalMs = 5000;                         // pings come every 20 s (stage_client.cc)
constexpr absl::Duration kHandshakeTimeout = absl::Seconds(30);  // of callers without a deadline

using StageReactor = grpc::ServerBidiReactor<stage_proto::StageMessage, stage_proto::StageMessage>;

class ServerStream final : public StageStream<StageReactor> {
 public:
  explicit ServerStream(grpc::CallbackServerContext* context) : context_(context) {}

  // `self` is kept until the end of the call.
  void Start(const std::shared_ptr<ServerStream>& self, StageCallbacks callbacks) {
    self_ = self;
    callbacks_ = std::move(callbacks);
    Read();
  }

  // Instead of Start.
  void Refuse(const std::shared_ptr<ServerStream>& self, const absl::Status& why) {
    self_ = self;
    StopSending();
    closed_by_owner_.store(true);
    finished_.store(true);
    Finish(ToGrpc(why));
  }

  void Close() override {
    closed_by_owner_.store(true);
    CancelCall();
    done_->WaitForNotification();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {
      StopSending();
      reading_.store(false);
      MaybeFinish();
      return;
    }
    absl::StatusOr<StageMessage> message = TakeIncoming();
    if (message.ok()) {
      callbacks_.on_message(*std::move(message));
    } else {
      CancelCall();
    }
    Read();
  }

  void OnWriteDone(bool ok) override {
    WriteNext(ok);
    MaybeFinish();
  }

  void OnCancel() override {}  // reads and writes in progress end with it

  void MaybeFinish() {
    if (!reading_.load() && Idle() && !finished_.exchange(true)) {
      Finish(grpc::Status::OK);
    }
  }

  void CancelCall() {
    absl::MutexLock lock(&context_mutex_);
    if (context_ != nullptr) {
      context_->TryCancel();
    }
  }

  void OnDone() override {
    {
      absl::MutexLock lock(&context_mutex_);
      context_ = nullptr;
    }
    if (!closed_by_owner_.load()) {
      callbacks_.on_lost(absl::UnavailableError("the stage before closed the line"));
    }
    const std::shared_ptr<absl::Notification> done = done_;
    self_.reset();
    done->Notify();
  }

  absl::Mutex context_mutex_;
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(context_mutex_);  // null once the call is over
  StageCallbacks callbacks_;
  std::atomic<bool> reading_{true};
  std::atomic<bool> finished_{false};
  std::atomic<bool> closed_by_owner_{false};
  const std::shared_ptr<absl::Notification> done_ = std::make_shared<absl::Notification>();
  std::shared_ptr<ServerStream> self_;
};

// Exchange does not block; Handshake does, on gRPC's pool for blocking calls.
class Service final
    : public stage_proto::StageService::WithCallbackMethod_Exchange<stage_proto::StageService::Service> {
 public:
  explicit Service(StageHandler* handler) : handler_(handler) {}

  grpc::Status Handshake(grpc::ServerContext* context, const stage_proto::HandshakeRequest* request,
                         stage_proto::HandshakeResponse* response) override {
    if (request->protocol_version() != kStageProtocolVersion) {
      return {grpc::StatusCode::FAILED_PRECONDITION,
              absl::StrCat("protocol_version differs: the router before has ", request->protocol_version(),
                           ", this stage has ", kStageProtocolVersion, "; run the same build")};
    }
    const absl::StatusOr<StageTerms> terms = DecodeTerms(*request);
    if (!terms.ok()) {
      return ToGrpc(terms.status());
    }
    const absl::Time deadline = std::min(absl::FromChrono(context->deadline()), absl::Now() + kHandshakeTimeout);
    const absl::StatusOr<int64_t> kv_blocks = handler_->Agree(*terms, deadline);
    if (!kv_blocks.ok()) {
      return ToGrpc(kv_blocks.status());
    }
    response->set_protocol_version(kStageProtocolVersion);
    response->set_kv_blocks(*kv_blocks);
    return grpc::Status::OK;
  }

  StageReactor* Exchange(grpc::CallbackServerContext* context) override {
    auto stream = std::make_shared<ServerStream>(context);
    absl::StatusOr<StageCallbacks> callbacks = handler_->Open(stream);
    if (callbacks.ok()) {
      stream->Start(stream, *std::move(callbacks));
    } else {
      stream->Refuse(stream, callbacks.status());
    }
    return stream.get();
  }

 private:
  StageHandler* const handler_;
};

class Server final : public StageServer {
 public:
  explicit Server(StageHandler* handler) : service_(handler) {}

  // An expired deadline cancels the lines; Wait returns when the last one has ended.
  ~Server() override {
    if (server_ != nullptr) {
      server_->Shutdown(ToGrpcDeadline(absl::Now()));
      server_->Wait();
    }
  }

  absl::Status Start(const std::string& listen) {
    const bool is_unix = absl::StartsWith(listen, "unix:");
    grpc::ServerBuilder builder;
    builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    builder.SetMaxReceiveMessageSize(-1);
    builder.SetMaxSendMessageSize(-1);
    builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingIntervalMs);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second server on the port is a mistake
    server_ = builder.BuildAndStart();
    if (is_unix) {
      port_ = 0;
    }
    if (server_ == nullptr || (port_ == 0 && !is_unix)) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", listen, ": is the address valid, and free on this machine?"));
    }
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  Service service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StageServer>> StartStageServer(const std::string& listen, StageHandler* handler) {
  auto server = std::make_unique<Server>(handler);
  RETURN_IF_ERROR(server->Start(listen));
  return std::unique_ptr<StageServer>(std::move(server));
}

}  // namespace tandem::transport
