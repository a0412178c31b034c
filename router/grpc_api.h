// The gRPC API: tandem.chat.v1.ChatService, grpc.health.v1.Health and server reflection. A thin shell over
// CompletionService; requests are parsed and checked by the same code as those of HTTP.
//
// Threads: gRPC's own for the calls, and "grpc-health", which keeps the health service in step with the engine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/completion.h"
#include "router/request_parser.h"

namespace tandem::router {

struct GrpcApiOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any free one
  RequestContext context;
  std::vector<std::string> api_keys;       // empty: no authorisation; health and reflection never ask
  size_t max_write_queue_bytes = 1 << 20;  // a stream with more unsent bytes than this is cut
  absl::Duration health_interval = absl::Seconds(1);
};

class GrpcApi {
 public:
  // Listens and serves. `service` must outlive the API. Errors: UNAVAILABLE when the port is taken.
  static absl::StatusOr<std::unique_ptr<GrpcApi>> Start(GrpcApiOptions options, CompletionService* service);

  virtual ~GrpcApi() = default;  // Shutdown(0)

  virtual int port() const = 0;

  // Reports health as it is now; otherwise it is looked at once in every `health_interval`.
  virtual void RefreshHealth() = 0;

  // Reports NOT_SERVING, accepts no more calls, lets running ones finish until `grace` has passed, then cancels them.
  virtual void Shutdown(absl::Duration grace) = 0;
};

}  // namespace tandem::router
