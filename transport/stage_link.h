// Two neighbouring pipeline stages: what they agree on, and the line between them.
//
// The stage nearer to the head connects: ConnectStage shakes hands and opens the line. The other one serves it:
// StartStageServer with a StageHandler. A line carries StageMessages both ways, in order; when it is lost both sides
// are told, and a new one begins with a new handshake.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/layer_range.h"
#include "transport/expert_channel.h"
#include "transport/stage_message.h"

namespace tandem::transport {

// Raised on any incompatible change of messages or service.
inline constexpr int32_t kStageProtocolVersion = 1;

// What all stages must do alike, as it concerns one of them.
struct StageTerms {
  ModelIdentity model;
  int32_t stage = 0;  // of the one that is asked
  int32_t num_stages = 0;
  bool dualpipe = false;
  std::vector<LayerRange> layers;  // that this stage computes, in the order of directions
  compute::DType kv_cache_dtype = compute::DType::kF32;
  int32_t kv_block_size = 0;
  int64_t max_batch_tokens = 0;
  int64_t max_model_len = 0;
};

// OK, or FAILED_PRECONDITION naming the first thing that differs, with both values. The limits of `stage` may be wider.
absl::Status CheckTerms(const StageTerms& wanted, const StageTerms& stage);

// One established line. Thread-safe.
class StageLink {
 public:
  virtual ~StageLink() = default;

  // Queues a message. Errors: UNAVAILABLE when the line is lost, RESOURCE_EXHAUSTED when the other side does not keep
  // up.
  virtual absl::Status Send(const StageMessage& message) = 0;

  virtual bool open() const = 0;

  // Ends the line. Nothing is called back any more when it returns. Not from a callback of the link.
  virtual void Close() = 0;
};

// What the owner of a link is told, on transport threads; must not block.
struct StageCallbacks {
  std::function<void(StageMessage message)> on_message;     // in order
  std::function<void(const absl::Status& reason)> on_lost;  // once, after the last message; not because of Close
};

struct ConnectedStage {
  std::shared_ptr<StageLink> link;
  int64_t kv_blocks = 0;  // of the smallest cache behind the line
};

// `address` is "host:port" or "unix:/path".
// Errors: UNAVAILABLE (not there yet, or busy with another line), DEADLINE_EXCEEDED, FAILED_PRECONDITION for other
// terms.
absl::StatusOr<ConnectedStage> ConnectStage(const std::string& address, const StageTerms& terms,
                                            StageCallbacks callbacks, absl::Time deadline);

// The served side. Thread-safe.
class StageHandler {
 public:
  virtual ~StageHandler() = default;

  // A stage before this one wants to connect. May block until the deadline. Returns the KV blocks of the smallest cache
  // here and behind. Errors: as ConnectStage.
  virtual absl::StatusOr<int64_t> Agree(const StageTerms& wanted, absl::Time deadline) = 0;

  // The line that follows. Nothing arrives before this returns. Errors: the line is refused.
  virtual absl::StatusOr<StageCallbacks> Open(std::shared_ptr<StageLink> link) = 0;
};

class StageServer {
 public:
  virtual ~StageServer() = default;  // ends lines, then stops

  // The bound port; 0 for a Unix socket.
  virtual int port() const = 0;
};

// `listen` is "host:port" (port 0: any free one) or "unix:/path". `handler` must outlive the server.
// Errors: UNAVAILABLE if the address cannot be bound.
absl::StatusOr<std::unique_ptr<StageServer>> StartStageServer(const std::string& listen, StageHandler* handler);

}  // namespace tandem::transport
