// The worker's side of Exchange streams. Private to grpc_server.cc.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "transport/expert_channel.h"
#include "transport/frame_codec.h"

namespace tandem::transport {

class ExchangeReactor;

// The streams that are alive, so that they can be drained together. Thread-safe.
class ExchangeStreams {
 public:
  // From now on streams take no more frames, and end when what they have taken is answered.
  void Drain();

 private:
  friend class ExchangeReactor;
  void Add(ExchangeReactor* stream);
  void Remove(ExchangeReactor* stream);

  absl::Mutex mutex_;  // taken before a stream's
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<ExchangeReactor*> streams_ ABSL_GUARDED_BY(mutex_);
};

// One stream. Deletes itself in OnDone, which comes only after Finish, which waits for every frame in the handler.
class ExchangeReactor final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  ExchangeReactor(ExpertHandler* handler, ExchangeStreams* streams, int max_outstanding, Checksums checksums);

  void Drain();

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Answers a frame that counts as outstanding. On any thread.
  void Respond(uint64_t frame_id, const absl::StatusOr<CombineFrame>& result);
  void ReadIfRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Finishes the call if nothing is left to do. The object may be gone afterwards.
  void MaybeFinish();

  ExpertHandler* const handler_;
  ExchangeStreams* const streams_;
  const int max_outstanding_;
  const Checksums checksums_;
  const std::shared_ptr<FrameOrigin> origin_ = std::make_shared<FrameOrigin>();
  grpc::ByteBuffer incoming_;  // owned by the read in progress

  absl::Mutex mutex_;
  std::deque<grpc::ByteBuffer> outgoing_ ABSL_GUARDED_BY(mutex_);  // the front is being written
  int outstanding_ ABSL_GUARDED_BY(mutex_) = 0;                    // frames in the handler or in outgoing_
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_more_reads_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status final_status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem::transport
