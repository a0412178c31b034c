// The worker's side of shared-memory connections: any number of routers, each with rings of its own.
//
// Threads: "shm-accept" accepts routers and notices when they go. Frames are taken by whoever calls Poll, so that the
// thread that computes them needs no other to wake it; without a doorbell of the owner's a thread "shm-frames" does.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "transport/expert_channel.h"
#include "transport/poll_thread.h"
#include "transport/shm_link.h"
#include "transport/shm_stream.h"

namespace tandem::transport {

struct ShmServerOptions {
  std::string socket_path;
  // Per router; past it a router's ring is not read, which fills it and pushes back.
  int max_outstanding_frames = 256;
  uint64_t max_message_bytes = uint64_t{1} << 30;
  // Rung when there is something to Poll; its owner waits there. Null: the server polls itself.
  std::shared_ptr<Doorbell> doorbell;
};

class ShmConnection;

// Thread-safe.
class ShmServer final : public FrameSource {
 public:
  // `handler` must outlive the server. Errors: UNAVAILABLE if the path cannot be bound or nothing can be shared.
  static absl::StatusOr<std::shared_ptr<ShmServer>> Start(ShmServerOptions options, ExpertHandler* handler);
  ~ShmServer() override;  // as Shutdown(InfinitePast)

  const ShmOffer& offer() const { return offer_; }

  // As FrameSource::Poll; also sends answers that waited for room.
  void Poll() override { PollConnections(); }

  // Accepts no more; waits until every frame in the handler has been answered and its answer sent, or for the
  // deadline; then closes the connections. Idempotent.
  void Shutdown(absl::Time deadline);

  int num_connections() const;

 private:
  using ConnectionList = std::vector<std::shared_ptr<ShmConnection>>;

  ShmServer(ShmServerOptions options, ExpertHandler* handler, UniqueFd listener, UniqueFd wake);

  // True if any had something.
  bool PollConnections();
  void AcceptAndWatch();
  absl::Status Accept();
  std::shared_ptr<const ConnectionList> Connections() const;
  void SetConnections(ConnectionList connections);

  const ShmServerOptions options_;
  ExpertHandler* const handler_;
  const UniqueFd listener_;
  const UniqueFd wake_;  // eventfd; ends the accepting thread
  ShmOffer offer_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const ConnectionList> connections_ ABSL_GUARDED_BY(mutex_) = std::make_shared<ConnectionList>();
  std::atomic<uint64_t> version_ = 0;  // of connections_; written under mutex_
  // What Poll goes through, and when it was taken: a spinning thread should cost nobody a lock. The polling thread's.
  std::shared_ptr<const ConnectionList> polled_ = connections_;
  uint64_t polled_version_ = 0;
  std::once_flag shutdown_;
  std::optional<PollThread> frames_;
  std::thread accept_;
};

}  // namespace tandem::transport
