// One end of the two rings between a router and a worker: whole messages out, whole messages in. Messages that find no
// room, or are too long for one record, wait in this process and go out in pieces as room comes.
// Thread-safe. Held by shared_ptr: received messages lie in the rings and keep them mapped.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "transport/doorbell.h"
#include "transport/frame.h"
#include "transport/shm_ring.h"

namespace tandem::transport {

class ShmLink : public std::enable_shared_from_this<ShmLink> {
 public:
  enum class Side { kRouter, kWorker };

  // `peer` is rung when the other side has something to look at. Longer messages than `max_message_bytes` are refused.
  ShmLink(ShmSegment segment, Side side, RemoteDoorbell peer, uint64_t max_message_bytes);
  ~ShmLink();

  // A message is a lead of at most kLeadBytes and parts that follow it, each on a 64-byte border; its length counts the
  // lead as kLeadBytes and the padding of every part.
  using Bytes = absl::Span<const std::byte>;

  // Memory of the outgoing ring for the last part of a message whose other parts are `others_bytes` long, padding
  // included. Send with that part copies only the others. Messages sent meanwhile go no sooner than this one, so it
  // should not take long; gone without being sent, it takes its place with it. Empty when there is no room.
  FrameBuffer Lend(size_t others_bytes, size_t bytes);

  // Never blocks. Errors: RESOURCE_EXHAUSTED (too long), DATA_LOSS (the other side broke the ring).
  absl::Status Send(Bytes lead, absl::Span<const Bytes> parts);

  // The next message, if there is one; its bytes stay in the ring until the last copy of the buffer is gone.
  // Errors: DATA_LOSS (the other side broke the ring).
  absl::StatusOr<std::optional<FrameBuffer>> Receive();

  // True while there is nothing to Receive and nothing to Flush; a few nanoseconds.
  bool Idle() const { return !HasArrived() && backlog_size_.load(std::memory_order_seq_cst) == 0; }

  // Sends what has waited for room, as far as there is some; costs a load when nothing has. To be called when this
  // side's doorbell rang.
  absl::Status Flush();

  // Messages that still wait for room.
  size_t backlog() const;

 private:
  class Lease;
  class Loan;

  bool HasArrived() const {
    return in_memory_.control->head.load(std::memory_order_seq_cst) != taken_.load(std::memory_order_acquire);
  }
  // Fills in what precedes a lent part and hands the record on. False if `parts` do not end with one.
  bool SendLent(Bytes lead, absl::Span<const Bytes> parts, size_t bytes) ABSL_LOCKS_EXCLUDED(out_mutex_);
  void GiveBack(std::unique_ptr<Loan> loan) ABSL_LOCKS_EXCLUDED(out_mutex_);
  absl::Status FlushLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(out_mutex_);
  absl::StatusOr<bool> SendPiece() ABSL_EXCLUSIVE_LOCKS_REQUIRED(out_mutex_);
  absl::Status Append(const RingConsumer::Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(in_mutex_);
  // The record at `position` is read by nobody any more; `lease`, if not null, was its.
  void Release(uint64_t position, std::unique_ptr<Lease> lease) ABSL_LOCKS_EXCLUDED(in_mutex_);

  const ShmSegment segment_;
  const RemoteDoorbell peer_;
  const uint64_t max_message_bytes_;

  const RingMemory out_memory_;
  absl::Mutex out_mutex_;
  RingProducer out_ ABSL_GUARDED_BY(out_mutex_);
  std::vector<Loan*> lent_ ABSL_GUARDED_BY(out_mutex_);  // not sent yet
  std::vector<std::unique_ptr<Loan>> idle_loans_ ABSL_GUARDED_BY(out_mutex_);
  std::deque<FrameBuffer> backlog_ ABSL_GUARDED_BY(out_mutex_);
  size_t sent_of_front_ ABSL_GUARDED_BY(out_mutex_) = 0;
  std::atomic<size_t> backlog_size_ = 0;  // written under out_mutex_

  const RingMemory in_memory_;
  absl::Mutex in_mutex_;
  RingConsumer in_ ABSL_GUARDED_BY(in_mutex_);
  std::vector<std::unique_ptr<Lease>> idle_leases_ ABSL_GUARDED_BY(in_mutex_);
  std::atomic<uint64_t> taken_ = 0;  // position behind the last record that was taken; written under in_mutex_
  FrameBuffer partial_ ABSL_GUARDED_BY(in_mutex_);  // a message that comes in pieces
  size_t received_ ABSL_GUARDED_BY(in_mutex_) = 0;  // of it
};

}  // namespace tandem::transport
