// A server under load: takes requests and fills their meters while the answers stream in.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/load/request_meter.h"
#include "cli/load/workload.h"

namespace tandem::cli {

struct TargetOptions {
  std::string url;      // "http://host:port", or "host:port" for gRPC
  std::string api_key;  // empty: none
  std::string model;    // empty: the server's first
  std::optional<double> temperature;
  std::optional<int64_t> sampling_seed;
  absl::Duration timeout = absl::Minutes(10);  // HTTP: longest silence; gRPC: of a whole request
};

// What the server says about itself.
struct TargetModel {
  std::string name;
  int vocab_size = 0;  // 0: not said
};

// Thread-safe.
class Target {
 public:
  // Cancels what runs; returns when every meter has ended ("cancelled").
  virtual ~Target() = default;

  virtual const TargetModel& model() const = 0;

  // Never blocks. `meter` ends on a thread of the target.
  virtual void Send(const LoadRequest& request, std::shared_ptr<RequestMeter> meter) = 0;
};

// /v1/chat/completions or /v1/completions with server-sent events, by the kind of each prompt.
// Errors: those of http::Client; NOT_FOUND when the server has no model.
absl::StatusOr<std::unique_ptr<Target>> ConnectHttpTarget(const TargetOptions& options);

// tandem.chat.v1.ChatService/ChatStream or /CompleteStream. Errors: UNAVAILABLE and what the server answers.
absl::StatusOr<std::unique_ptr<Target>> ConnectGrpcTarget(const TargetOptions& options);

}  // namespace tandem::cli
