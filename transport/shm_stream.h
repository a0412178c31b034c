// A shared-memory connection as the router sees it.
//
// Threads: "shm-peer" sleeps until the worker's end of the socket goes away, then takes what the worker had still
// written and ends the rest. Answers are taken by whoever calls Poll; without a doorbell of the owner's a thread
// "shm-answers" does.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "transport/frame_stream.h"
#include "transport/pending_frames.h"
#include "transport/poll_thread.h"
#include "transport/shm_link.h"

namespace tandem::transport {

// Where a worker accepts shared-memory connections; from its handshake.
struct ShmOffer {
  std::string socket_path;  // empty: nowhere
  uint64_t instance = 0;    // tells a restarted worker from the one that the handshake was made with
};

struct ShmStreamOptions {
  SegmentSizes sizes;
  uint64_t max_message_bytes = uint64_t{1} << 30;
  // Rung when there is something to Poll; its owner waits there. Null: the stream polls itself.
  std::shared_ptr<Doorbell> doorbell;
  // Called once on "shm-peer" when the connection was lost and `pending` is closed, unless Close did it.
  std::function<void()> on_lost;
};

class ShmStream final : public FrameStream {
 public:
  // Errors: UNAVAILABLE or DEADLINE_EXCEEDED when the worker does not answer, or nothing can be shared with it.
  static absl::StatusOr<std::shared_ptr<ShmStream>> Connect(const ShmOffer& offer, ShmStreamOptions options,
                                                            std::shared_ptr<PendingFrames> pending,
                                                            absl::Time deadline);
  ~ShmStream() override { Close(); }

  absl::string_view transport() const override { return "shm"; }
  bool open() const override { return open_; }
  FrameBuffer LendRows(size_t num_pairs, size_t bytes) override;
  void Dispatch(DispatchFrame frame, CombineCallback done) override;
  void Poll() override;
  void Close() override;

 private:
  ShmStream(UniqueFd socket, std::shared_ptr<ShmLink> link, ShmStreamOptions options,
            std::shared_ptr<PendingFrames> pending);

  void WatchPeer();
  void Break(const absl::Status& why);

  const UniqueFd socket_;
  const std::shared_ptr<ShmLink> link_;
  const ShmStreamOptions options_;
  const std::shared_ptr<PendingFrames> pending_;
  std::atomic<bool> open_ = true;
  std::atomic<bool> closed_by_owner_ = false;
  std::optional<PollThread> answers_;
  std::once_flag closed_;
  std::thread peer_;  // last: uses all of the above
};

}  // namespace tandem::transport
