// Serves an ExpertHandler over gRPC: the ExpertService of proto/tandem/expert/v1, grpc.health.v1 and reflection.
//
// Any number of routers may be connected. Per stream at most `max_outstanding_frames` are in the handler or waiting to
// be written; past that the stream is not read, which pushes back on the router through HTTP/2 flow control.
//
// Threads: gRPC's own. Exchange never blocks one; LoadExperts runs on gRPC's pool for blocking calls.
// Order of shutdown: health turns NOT_SERVING; new frames are refused with UNAVAILABLE; frames in the handler are
// answered; streams end; at the deadline what is left is cancelled.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "transport/doorbell.h"
#include "transport/expert_channel.h"
#include "transport/tls_options.h"

namespace tandem::transport {

struct GrpcServerOptions {
  // "host:port" (port 0: any free one) or "unix:/path".
  std::string listen = "127.0.0.1:0";
  int max_outstanding_frames = 256;
  // Largest message accepted; -1: no limit.
  int max_message_bytes = -1;
  bool reflection = true;
  // Offers shared memory to routers on this machine, on a second socket beside a "unix:" address (path + ".shm"); where
  // that cannot be, a warning says so.
  bool shared_memory = true;
  // See ShmServerOptions.
  std::shared_ptr<Doorbell> doorbell;
  // Absent: plaintext.
  std::optional<TlsOptions> tls;
};

// Thread-safe.
class GrpcExpertServer {
 public:
  virtual ~GrpcExpertServer() = default;  // as Shutdown(InfinitePast)

  // The bound port; 0 for a Unix socket.
  virtual int port() const = 0;

  // Frames that arrive through shared memory, to be polled by the doorbell's owner; null without shared memory.
  virtual std::shared_ptr<FrameSource> frame_source() const = 0;

  // What grpc.health.v1 reports; false until called.
  virtual void SetServing(bool serving) = 0;

  // Drains and stops; see above. Returns when no call is left and the handler will not be used any more.
  virtual void Shutdown(absl::Time deadline) = 0;
};

// `handler` must outlive the server.
// Errors: UNAVAILABLE if the address cannot be bound.
absl::StatusOr<std::unique_ptr<GrpcExpertServer>> StartGrpcServer(GrpcServerOptions options, ExpertHandler* handler);

}  // namespace tandem::transport
