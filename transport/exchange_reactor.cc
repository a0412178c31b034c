#include "transport/exchange_reactor.h"

#include <utility>

#include "transport/proto_convert.h"

namespace tandem::transport {

void ExchangeStreams::Drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  for (ExchangeReactor* stream : streams_) {
    stream->Drain();
  }
}

void ExchangeStreams::Add(ExchangeReactor* stream) {
  absl::MutexLock lock(&mutex_);
  streams_.insert(stream);
  if (draining_) {
    stream->Drain();
  }
}

void ExchangeStreams::Remove(ExchangeReactor* stream) {
  absl::MutexLock lock(&mutex_);
  streams_.erase(stream);
}

ExchangeReactor::ExchangeReactor(ExpertHandler* handler, ExchangeStreams* streams, int max_outstanding,
                                 Checksums checksums)
    : handler_(handler), streams_(streams), max_outstanding_(max_outstanding), checksums_(checksums) {
  {
    absl::MutexLock lock(&mutex_);
    ReadIfRoom();
  }
  streams_->Add(this);
}

void ExchangeReactor::ReadIfRoom() {
  if (!reading_ && !no_more_reads_ && !cancelled_ && !finished_ && outstanding_ < max_outstanding_) {
    reading_ = true;
    StartRead(&incoming_);
  }
}

void ExchangeReactor::OnReadDone(bool ok) {
  if (!ok) {
    {
      absl::MutexLock lock(&mutex_);
      reading_ = false;
      no_more_reads_ = true;
    }
    MaybeFinish();
    return;
  }
  DecodedDispatch message = DecodeDispatch(incoming_, absl::Now(), checksums_);
  incoming_.Clear();
  absl::Status refused = message.frame.status();
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    if (finished_) {
      return;  // arrived while the drained stream ended; the router sees the end and sends it elsewhere
    }
    if (message.frame_id == 0) {
      no_more_reads_ = true;
      final_status_ = ToGrpc(refused);
    } else {
      ++outstanding_;
      if (refused.ok() && no_more_reads_) {
        refused = absl::UnavailableError("draining");
      }
    }
  }
  if (message.frame_id == 0) {
    MaybeFinish();
    return;
  }
  if (!refused.ok()) {
    Respond(message.frame_id, refused);
  } else {
    message.frame->origin = origin_;
    handler_->Handle(*std::move(message.frame),
                     [this, id = message.frame_id](absl::StatusOr<CombineFrame> result) { Respond(id, result); });
  }
  // Only now, or gRPC would turn to the next message first.
  absl::MutexLock lock(&mutex_);
  ReadIfRoom();
}

void ExchangeReactor::Respond(uint64_t frame_id, const absl::StatusOr<CombineFrame>& result) {
  grpc::ByteBuffer message = EncodeCombine(frame_id, result, checksums_);
  {
    absl::MutexLock lock(&mutex_);
    if (!cancelled_) {
      outgoing_.push_back(std::move(message));
      if (!writing_) {
        writing_ = true;
        StartWrite(&outgoing_.front());
      }
      return;
    }
    --outstanding_;
  }
  MaybeFinish();
}

void ExchangeReactor::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    outgoing_.pop_front();
    --outstanding_;
    if (!ok || cancelled_) {
      cancelled_ = true;
      outstanding_ -= static_cast<int>(outgoing_.size());
      outgoing_.clear();
    } else if (!outgoing_.empty()) {
      writing_ = true;
      StartWrite(&outgoing_.front());
    }
    ReadIfRoom();
  }
  MaybeFinish();
}

void ExchangeReactor::OnCancel() {
  origin_->MarkGone();
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    if (!writing_) {
      outstanding_ -= static_cast<int>(outgoing_.size());
      outgoing_.clear();
    }
  }
  MaybeFinish();
}

void ExchangeReactor::Drain() {
  {
    absl::MutexLock lock(&mutex_);
    no_more_reads_ = true;
  }
  MaybeFinish();
}

void ExchangeReactor::MaybeFinish() {
  grpc::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (finished_ || outstanding_ > 0 || !(no_more_reads_ || cancelled_)) {
      return;
    }
    finished_ = true;
    status = cancelled_ ? grpc::Status::CANCELLED : final_status_;
  }
  Finish(std::move(status));
}

void ExchangeReactor::OnDone() {
  streams_->Remove(this);
  {
    // All callbacks have returned. Whoever of them was last let go of this lock; after it, nothing of theirs is left.
    absl::MutexLock lock(&mutex_);
  }
  delete this;
}

}  // namespace tandem::transport
