#include "transport/grpc_channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "base/status.h"
#include "tandem/expert/v1/expert_service.grpc.pb.h"
#include "transport/exchange_stream.h"
#include "transport/proto_convert.h"
#include "transport/shm_stream.h"

namespace tandem::transport {
namespace {

int Millis(absl::Duration duration) { return static_cast<int>(absl::ToInt64Milliseconds(duration)); }

std::shared_ptr<grpc::ChannelCredentials> Credentials(const std::optional<TlsOptions>& tls) {
  if (!tls.has_value()) {
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = tls->ca;
  options.pem_cert_chain = tls->certificate;
  options.pem_private_key = tls->key;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address, const GrpcChannelOptions& options) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(options.max_message_bytes);
  args.SetMaxSendMessageSize(options.max_message_bytes);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options.keepalive_time));
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(options.keepalive_timeout));
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A connection of its own: no head-of-line blocking among channels, no back-off inherited from an earlier one.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel(address, Credentials(options.tls), args);
}

// Nothing damages bytes between the processes of one machine.
bool IsOnThisMachine(absl::string_view address) {
  for (const absl::string_view prefix : {"unix:", "127.", "localhost:", "[::1]:"}) {
    if (absl::StartsWith(address, prefix)) return true;
  }
  return false;
}

class GrpcChannel final : public ExpertChannel {
 public:
  GrpcChannel(std::string address, GrpcChannelOptions options)
      : name_(std::move(address)), options_(std::move(options)) {
    if (options_.deadlines == nullptr) {
      options_.deadlines = std::make_shared<DeadlineQueue>();
    }
  }

  ~GrpcChannel() override {
    if (const auto stream = CurrentStream(); stream != nullptr) {
      stream->Close();
    }
  }

  const std::string& name() const override { return name_; }

  bool ready() const override {
    const auto stream = CurrentStream();
    return stream != nullptr && stream->open();
  }

  absl::StatusOr<WorkerInfo> Handshake(const ModelIdentity& router, absl::Time deadline) override {
    const std::shared_ptr<grpc::Channel> connection = CurrentConnection();
    proto::HandshakeRequest request;
    request.set_protocol_version(kProtocolVersion);
    ToProto(router, request.mutable_identity());
    proto::HandshakeResponse response;
    grpc::ClientContext context;
    context.set_deadline(ToGrpcDeadline(deadline));
    const UnaryCall call(this, &context);
    RETURN_IF_ERROR(Named(FromGrpc(proto::ExpertService::NewStub(connection)->Handshake(&context, request, &response)),
                          "handshake"));
    RETURN_IF_ERROR(Named(CheckProtocolVersion(kProtocolVersion, response.protocol_version()), "handshake"));
    auto info = FromProto(response.info());
    RETURN_IF_ERROR(Named(info.status(), "handshake"));
    RETURN_IF_ERROR(Named(CheckCompatible(router, info->identity), "handshake"));
    const ShmOffer offer{std::string(response.shared_memory().socket_path()), response.shared_memory().instance()};
    RETURN_IF_ERROR(Named(EnsureStream(connection, offer, deadline), "connect"));
    return info;
  }

  absl::Status LoadExperts(const std::vector<LayerExpert>& experts, absl::Time deadline) override {
    proto::LoadExpertsRequest request;
    for (const LayerExpert& expert : experts) {
      request.add_layers(expert.layer);
      request.add_experts(expert.expert);
    }
    proto::LoadExpertsResponse response;
    grpc::ClientContext context;
    context.set_deadline(ToGrpcDeadline(deadline));
    const UnaryCall call(this, &context);
    return Named(
        FromGrpc(proto::ExpertService::NewStub(CurrentConnection())->LoadExperts(&context, request, &response)),
        "load experts");
  }

  void CancelCalls() override {
    absl::MutexLock lock(&calls_mutex_);
    calls_cancelled_ = true;
    for (grpc::ClientContext* context : calls_) context->TryCancel();
  }

  FrameBuffer LendRows(size_t num_pairs, size_t bytes) override {
    const auto stream = CurrentStream();
    return stream == nullptr ? FrameBuffer(bytes) : stream->LendRows(num_pairs, bytes);
  }

  void Dispatch(DispatchFrame frame, CombineCallback done) override {
    const auto stream = CurrentStream();
    if (stream == nullptr) {
      done(absl::UnavailableError(absl::StrCat("expert worker ", name_, ": not connected")));
      return;
    }
    stream->Dispatch(std::move(frame), std::move(done));
  }

  void Poll() override {
    if (const auto stream = CurrentStream(); stream != nullptr) {
      stream->Poll();
    }
  }

  absl::string_view transport() const override {
    const auto stream = CurrentStream();
    return stream == nullptr ? absl::string_view() : stream->transport();
  }

 private:
  // Lets CancelCalls end a call while the object lives.
  class UnaryCall {
   public:
    UnaryCall(GrpcChannel* channel, grpc::ClientContext* context) : channel_(channel), context_(context) {
      absl::MutexLock lock(&channel_->calls_mutex_);
      channel_->calls_.insert(context_);
      if (channel_->calls_cancelled_) context_->TryCancel();
    }
    ~UnaryCall() {
      absl::MutexLock lock(&channel_->calls_mutex_);
      channel_->calls_.erase(context_);
    }

   private:
    GrpcChannel* const channel_;
    grpc::ClientContext* const context_;
  };

  absl::Status Named(const absl::Status& status, absl::string_view what) const {
    return Annotate(status, absl::StrCat("expert worker ", name_, ": ", what));
  }

  std::shared_ptr<FrameStream> CurrentStream() const {
    absl::MutexLock lock(&mutex_);
    return stream_;
  }

  // The live stream's connection, or a fresh one.
  std::shared_ptr<grpc::Channel> CurrentConnection() {
    absl::MutexLock lock(&mutex_);
    if (stream_ != nullptr && stream_->open()) {
      return connection_;
    }
    return Connect(name_, options_);
  }

  absl::Status EnsureStream(const std::shared_ptr<grpc::Channel>& connection, const ShmOffer& offer,
                            absl::Time deadline) ABSL_LOCKS_EXCLUDED(connecting_, mutex_) {
    // Apart from mutex_, so that nobody who polls or sends waits for a worker that does not answer.
    absl::MutexLock connecting(&connecting_);
    if (const auto stream = CurrentStream(); stream != nullptr && stream->open()) {
      return absl::OkStatus();  // another thread's handshake came first
    }
    ASSIGN_OR_RETURN(std::shared_ptr<FrameStream> old, OpenStream(connection, offer, deadline));
    {
      absl::MutexLock lock(&mutex_);
      connection_ = connection;
      stream_.swap(old);
    }
    if (old != nullptr) {
      old->Close();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<FrameStream>> OpenStream(const std::shared_ptr<grpc::Channel>& connection,
                                                          const ShmOffer& offer, absl::Time deadline) const {
    auto pending = std::make_shared<PendingFrames>(name_, options_.max_outstanding_frames, options_.deadlines);
    const bool on_this_machine = absl::string_view(name_).substr(0, 5) == "unix:";
    if (options_.transport == TransportChoice::kShm && offer.socket_path.empty()) {
      return absl::FailedPreconditionError("the worker offers no shared memory; give both sides a unix: address");
    }
    if (options_.transport == TransportChoice::kShm ||
        (options_.transport == TransportChoice::kAuto && on_this_machine && !offer.socket_path.empty())) {
      absl::StatusOr<std::shared_ptr<FrameStream>> stream = ShmStream::Connect(
          offer, {.doorbell = options_.doorbell, .on_lost = options_.on_lost}, pending, deadline);
      if (stream.ok() || options_.transport == TransportChoice::kShm) {
        return stream;
      }
      spdlog::warn("expert worker {}: no shared memory ({}); frames travel over gRPC", name_,
                   std::string(stream.status().message()));
    }
    const bool checksums = options_.checksums.value_or(!IsOnThisMachine(name_));
    return ExchangeStream::Start(connection, std::move(pending),
                                 {.max_queued = options_.max_outstanding_frames,
                                  .checksums = checksums ? Checksums::kOn : Checksums::kOff,
                                  .on_lost = options_.on_lost});
  }

  const std::string name_;
  GrpcChannelOptions options_;
  absl::Mutex connecting_;  // taken before mutex_
  mutable absl::Mutex mutex_;
  std::shared_ptr<grpc::Channel> connection_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<FrameStream> stream_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex calls_mutex_;
  absl::flat_hash_set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(calls_mutex_);
  bool calls_cancelled_ ABSL_GUARDED_BY(calls_mutex_) = false;
};

}  // namespace

std::unique_ptr<ExpertChannel> MakeGrpcChannel(std::string address, GrpcChannelOptions options) {
  return std::make_unique<GrpcChannel>(std::move(address), std::move(options));
}

}  // namespace tandem::transport
