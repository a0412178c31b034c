// The connecting end of a line between stages.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_callback.h>

#include "absl/synchronization/notification.h"
#include "base/status.h"
#include "tandem/stage/v1/stage_service.grpc.pb.h"
#include "transport/proto_convert.h"
#include "transport/stage_stream.h"

namespace tandem::transport {
namespace {

// A silent stage is pinged and given up after the timeout, as expert workers are.
constexpr int kKeepaliveTimeMs = 20000;
constexpr int kKeepaliveTimeoutMs = 10000;

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(-1);
  args.SetMaxSendMessageSize(-1);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // no back-off inherited from an earlier connection
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
}

class ClientStream final
    : public StageStream<grpc::ClientBidiReactor<stage_proto::StageMessage, stage_proto::StageMessage>> {
 public:
  ClientStream(std::shared_ptr<grpc::Channel> channel, StageCallbacks callbacks)
      : channel_(std::move(channel)), callbacks_(std::move(callbacks)) {}

  ~ClientStream() override { TANDEM_CHECK(done_->HasBeenNotified(), "a line was dropped before its end"); }

  void Start(const std::shared_ptr<ClientStream>& self) {
    self_ = self;
    const auto stub = stage_proto::StageService::NewStub(channel_);
    stub->async()->Exchange(&context_, this);
    AddHold();  // writes start outside of reactions
    Read();
    StartCall();
  }

  void Close() override {
    closed_by_owner_.store(true);
    context_.TryCancel();
    done_->WaitForNotification();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {
      StopSending();
      RemoveHold();
      return;
    }
    absl::StatusOr<StageMessage> message = TakeIncoming();
    if (message.ok()) {
      callbacks_.on_message(*std::move(message));
    } else {
      context_.TryCancel();
    }
    Read();
  }

  void OnWriteDone(bool ok) override { WriteNext(ok); }

  void OnDone(const grpc::Status& status) override {
    if (!closed_by_owner_.load()) {
      callbacks_.on_lost(absl::UnavailableError(status.error_message().empty() ? "the next stage closed the line"
                                                                               : status.error_message()));
    }
    // The owner's reference must be the last one: a channel must not be destroyed on gRPC's own thread.
    const std::shared_ptr<absl::Notification> done = done_;
    self_.reset();
    done->Notify();
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const StageCallbacks callbacks_;
  grpc::ClientContext context_;
  std::atomic<bool> closed_by_owner_{false};
  const std::shared_ptr<absl::Notification> done_ = std::make_shared<absl::Notification>();
  std::shared_ptr<ClientStream> self_;  // until OnDone
};

}  // namespace

absl::StatusOr<ConnectedStage> ConnectStage(const std::string& address, const StageTerms& terms,
                                            StageCallbacks callbacks, absl::Time deadline) {
  const std::shared_ptr<grpc::Channel> channel = MakeChannel(address);
  const auto stub = stage_proto::StageService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(ToGrpcDeadline(deadline));
  context.set_wait_for_ready(false);
  stage_proto::HandshakeResponse response;
  const grpc::Status status = stub->Handshake(&context, EncodeTerms(terms), &response);
  if (!status.ok()) {
    return Annotate(FromGrpc(status), absl::StrCat("stage ", terms.stage, " at ", address));
  }
  auto link = std::make_shared<ClientStream>(channel, std::move(callbacks));
  link->Start(link);
  return ConnectedStage{.link = std::move(link), .kv_blocks = response.kv_blocks()};
}

}  // namespace tandem::transport
