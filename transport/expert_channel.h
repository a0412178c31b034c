// The two sides of the expert plane: a router sends through an ExpertChannel, a worker answers through an
// ExpertHandler. In-process, shared-memory and gRPC channels connect them; all carry the same frames and so give the
// same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/layer_expert.h"
#include "compute/dtype.h"
#include "transport/frame.h"

namespace tandem::transport {

// Raised on any incompatible change of frames or service.
inline constexpr int32_t kProtocolVersion = 1;

// What both sides must agree on before frames may flow.
struct ModelIdentity {
  std::string checkpoint_digest;  // hex; model::CheckpointDigest
  std::string architecture;       // model_type of config.json
  compute::DType weight_dtype = compute::DType::kF32;
  compute::DType wire_dtype = compute::DType::kF32;
  bool operator==(const ModelIdentity&) const = default;
};

// OK, or FAILED_PRECONDITION naming the first field that differs and both values.
absl::Status CheckCompatible(const ModelIdentity& router, const ModelIdentity& worker);

// The same for the two sides' kProtocolVersion.
absl::Status CheckProtocolVersion(int32_t router, int32_t worker);

using ::tandem::LayerExpert;

// What a worker tells about itself.
struct WorkerInfo {
  std::string worker_id;
  ModelIdentity identity;
  int64_t weights_bytes = 0;  // memory held by loaded experts
  int64_t memory_bytes = 0;   // resident memory of the process
  int64_t experts_loaded = 0;
  bool draining = false;
};

// What a worker has computed for one layer since it started.
struct LayerStatistics {
  int32_t layer = 0;
  int64_t frames = 0;
  int64_t frame_experts = 0;  // distinct experts of each frame, added up
  int64_t batches = 0;
  int64_t batch_experts = 0;            // distinct experts of each batch, added up
  std::vector<int64_t> expert_tokens;  // by expert
};

using CombineCallback = std::function<void(absl::StatusOr<CombineFrame>)>;

// Worker side. Thread-safe.
class ExpertHandler {
 public:
  virtual ~ExpertHandler() = default;

  virtual WorkerInfo Info() const = 0;

  // Of the layers that have computed something.
  virtual std::vector<LayerStatistics> Statistics() const { return {}; }

  // Loads experts that are not there yet; returns when all of them are usable.
  // Errors: INVALID_ARGUMENT for experts that the model lacks, DATA_LOSS for a broken checkpoint, RESOURCE_EXHAUSTED.
  virtual absl::Status LoadExperts(const std::vector<LayerExpert>& experts) = 0;

  // Computes a frame that passes ValidateDispatch (channels see to it). `done` is called exactly once, on any thread,
  // possibly before Handle returns.
  // Errors: INVALID_ARGUMENT for another dtype or hidden size than the model's, NOT_FOUND for an expert that is not
  // held, RESOURCE_EXHAUSTED when the queue is full, DEADLINE_EXCEEDED, UNAVAILABLE while draining.
  virtual void Handle(DispatchFrame frame, CombineCallback done) = 0;
};

// Worker side: where frames come from that nobody delivers unasked.
class FrameSource {
 public:
  virtual ~FrameSource() = default;

  // Hands the frames that have arrived to the handler, on the calling thread. Cheap when there is none. One thread at a
  // time.
  virtual void Poll() = 0;
};

// How frames travel to workers in other processes.
enum class TransportChoice : uint8_t {
  kAuto,  // shared memory with a worker at a "unix:" address where it can be set up, gRPC with others
  kShm,   // shared memory or an error
  kGrpc,
};

// Router side: one worker. Thread-safe.
class ExpertChannel {
 public:
  virtual ~ExpertChannel() = default;

  // The worker's address, for logs, errors and metric labels.
  virtual const std::string& name() const = 0;

  // True while frames can be sent: connected, and the handshake agreed.
  virtual bool ready() const = 0;

  // Connects (again) and checks that both sides serve the same model.
  // Errors: UNAVAILABLE, DEADLINE_EXCEEDED, FAILED_PRECONDITION for another checkpoint, dtype or protocol version.
  virtual absl::StatusOr<WorkerInfo> Handshake(const ModelIdentity& router, absl::Time deadline) = 0;

  virtual absl::Status LoadExperts(const std::vector<LayerExpert>& experts, absl::Time deadline) = 0;

  // Ends Handshake and LoadExperts calls that are under way, and those that come later, with CANCELLED where it can: the
  // owner is going to destroy the channel.
  virtual void CancelCalls() {}

  // Memory to write the rows of a frame to, `bytes` for one with `num_pairs` pairs, before it is dispatched. A channel
  // that lends it where it sends from spares a copy. Dispatch such a frame, or let go of it, soon: later ones may have
  // to wait for it.
  virtual FrameBuffer LendRows(size_t /*num_pairs*/, size_t bytes) { return FrameBuffer(bytes); }

  // Sends a frame. `done` is called exactly once: with the outputs, or UNAVAILABLE when the worker is lost,
  // DEADLINE_EXCEEDED, DATA_LOSS when bytes were damaged on the way, or the worker's error. It may run on a transport
  // thread and must not block, or inline.
  // The outputs may lie in memory that the connection needs for the next answers: let go of them soon.
  virtual void Dispatch(DispatchFrame frame, CombineCallback done) = 0;

  // Delivers answers that have arrived, on the calling thread. For channels that were given a doorbell: its owner polls
  // when it rings, and as long as it waits for an answer. Does nothing for channels that deliver by themselves.
  virtual void Poll() {}

  // "in-process", "shm" or "grpc"; empty before the handshake.
  virtual absl::string_view transport() const = 0;
};

}  // namespace tandem::transport
