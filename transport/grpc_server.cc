#include "transport/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <mutex>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "tandem/expert/v1/expert_service.grpc.pb.h"
#include "transport/exchange_reactor.h"
#include "transport/proto_convert.h"
#include "transport/shm_server.h"

namespace tandem::transport {
namespace {

// Pings of idle routers arrive every 20 s (grpc_channel.h).
constexpr int kMinPingIntervalMs = 5000;
constexpr absl::string_view kUnixScheme = "unix:";

// Exchange exchanges raw bytes without blocking; the other calls are plain blocking ones.
class Service final : public proto::ExpertService::WithRawCallbackMethod_Exchange<proto::ExpertService::Service> {
 public:
  Service(ExpertHandler* handler, ExchangeStreams* streams, int max_outstanding)
      : handler_(handler), streams_(streams), max_outstanding_(max_outstanding) {}

  // Before the server starts.
  void OfferSharedMemory(ShmOffer offer) { offer_ = std::move(offer); }

  grpc::Status Handshake(grpc::ServerContext*, const proto::HandshakeRequest* request,
                         proto::HandshakeResponse* response) override {
    const absl::Status version = CheckProtocolVersion(request->protocol_version(), kProtocolVersion);
    if (!version.ok()) {
      return ToGrpc(version);
    }
    const WorkerInfo info = handler_->Info();
    const auto router = FromProto(request->identity());
    if (!router.ok()) {
      return ToGrpc(router.status());
    }
    response->set_protocol_version(kProtocolVersion);
    ToProto(info, response->mutable_info());
    if (!offer_.socket_path.empty()) {
      response->mutable_shared_memory()->set_socket_path(offer_.socket_path);
      response->mutable_shared_memory()->set_instance(offer_.instance);
    }
    return ToGrpc(CheckCompatible(*router, info.identity));
  }

  grpc::Status LoadExperts(grpc::ServerContext* context, const proto::LoadExpertsRequest* request,
                           proto::LoadExpertsResponse*) override {
    if (request->layers_size() != request->experts_size()) {
      return {grpc::StatusCode::INVALID_ARGUMENT,
              absl::StrCat(request->layers_size(), " layers but ", request->experts_size(), " experts")};
    }
    // One by one, so that the work ends with the router that asked for it.
    for (int i = 0; i < request->layers_size(); ++i) {
      if (context->IsCancelled()) {
        return grpc::Status(grpc::StatusCode::CANCELLED,
                            absl::StrCat("cancelled after ", i, " of ", request->layers_size(), " experts"));
      }
      const absl::Status loaded = handler_->LoadExperts({{.layer = request->layers(i), .expert = request->experts(i)}});
      if (!loaded.ok()) {
        return ToGrpc(loaded);
      }
    }
    return grpc::Status::OK;
  }

  grpc::Status GetInfo(grpc::ServerContext*, const proto::GetInfoRequest* request,
                       proto::GetInfoResponse* response) override {
    response->set_protocol_version(kProtocolVersion);
    ToProto(handler_->Info(), response->mutable_info());
    if (request->with_statistics()) {
      for (const LayerStatistics& layer : handler_->Statistics()) {
        ToProto(layer, response->add_layers());
      }
    }
    return grpc::Status::OK;
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Exchange(
      grpc::CallbackServerContext* context) override {
    const bool wants_checksums = context->client_metadata().count(kChecksumsMetadata) > 0;
    return new ExchangeReactor(handler_, streams_, max_outstanding_,
                               wants_checksums ? Checksums::kOn : Checksums::kOff);
  }

 private:
  ExpertHandler* const handler_;
  ExchangeStreams* const streams_;
  const int max_outstanding_;
  ShmOffer offer_;
};

std::shared_ptr<grpc::ServerCredentials> Credentials(const std::optional<TlsOptions>& tls) {
  if (!tls.has_value()) {
    return grpc::InsecureServerCredentials();
  }
  grpc::SslServerCredentialsOptions options(tls->ca.empty()
                                                ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = tls->ca;
  options.pem_key_cert_pairs.push_back({tls->key, tls->certificate});
  return grpc::SslServerCredentials(options);
}

// gRPC wants its process-wide plug-ins before the first server is built.
void EnablePlugins(bool reflection) {
  static std::once_flag health_once;
  std::call_once(health_once, [] { grpc::EnableDefaultHealthCheckService(true); });
  if (reflection) {
    static std::once_flag reflection_once;
    std::call_once(reflection_once, [] { grpc::reflection::InitProtoReflectionServerBuilderPlugin(); });
  }
}

class Server final : public GrpcExpertServer {
 public:
  Server(const GrpcServerOptions& options, ExpertHandler* handler)
      : handler_(handler), service_(handler, &streams_, options.max_outstanding_frames) {}

  ~Server() override { Shutdown(absl::InfinitePast()); }

  absl::Status Start(const GrpcServerOptions& options) {
    EnablePlugins(options.reflection);
    const bool is_unix = absl::string_view(options.listen).substr(0, kUnixScheme.size()) == kUnixScheme;
    if (is_unix && options.shared_memory) {
      if (const absl::Status shared = StartSharedMemory(options); !shared.ok()) {
        spdlog::warn("no shared memory is offered to routers ({}); they use gRPC", std::string(shared.message()));
      }
    }
    grpc::ServerBuilder builder;
    builder.AddListeningPort(options.listen, Credentials(options.tls), &port_);
    builder.RegisterService(&service_);
    builder.SetMaxReceiveMessageSize(options.max_message_bytes);
    builder.SetMaxSendMessageSize(options.max_message_bytes);
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
          absl::StrCat("cannot listen on ", options.listen, ": is the address valid, and free on this machine?"));
    }
    SetServing(false);
    return absl::OkStatus();
  }

  int port() const override { return port_; }
  std::shared_ptr<FrameSource> frame_source() const override { return shm_; }

  void SetServing(bool serving) override {
    server_->GetHealthCheckService()->SetServingStatus(serving);  // the whole server, ""
    server_->GetHealthCheckService()->SetServingStatus(proto::ExpertService::service_full_name(), serving);
  }

  void Shutdown(absl::Time deadline) override {
    if (server_ == nullptr) {
      return;
    }
    std::call_once(shutdown_, [&] {
      SetServing(false);
      streams_.Drain();
      if (shm_ != nullptr) {
        shm_->Shutdown(deadline);
      }
      server_->Shutdown(ToGrpcDeadline(deadline));
      server_->Wait();
    });
  }

 private:
  absl::Status StartSharedMemory(const GrpcServerOptions& options) {
    ShmServerOptions shm;
    shm.socket_path = absl::StrCat(options.listen.substr(kUnixScheme.size()), ".shm");
    shm.max_outstanding_frames = options.max_outstanding_frames;
    shm.doorbell = options.doorbell;
    ASSIGN_OR_RETURN(shm_, ShmServer::Start(std::move(shm), handler_));
    service_.OfferSharedMemory(shm_->offer());
    return absl::OkStatus();
  }

  ExpertHandler* const handler_;
  std::shared_ptr<ShmServer> shm_;
  ExchangeStreams streams_;
  Service service_;
  int port_ = 0;
  std::once_flag shutdown_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcExpertServer>> StartGrpcServer(GrpcServerOptions options, ExpertHandler* handler) {
  auto server = std::make_unique<Server>(options, handler);
  const absl::Status status = server->Start(options);
  if (!status.ok()) {
    return status;
  }
  return std::unique_ptr<GrpcExpertServer>(std::move(server));
}

}  // namespace tandem::transport
