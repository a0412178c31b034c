// What both ends of a line between stages have in common: messages go out one behind the other, and come in one behind
// the other. Private to stage_client.cc and stage_server.cc.
#pragma once

#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "transport/stage_codec.h"
#include "transport/stage_link.h"

namespace tandem::transport {

// `Reactor`: gRPC's client or server reactor of a bidirectional stream of StageMessages. Thread-safe. Subclasses start
// reading, see to the end of the call and call the owner back.
template <typename Reactor>
class StageStream : public Reactor, public StageLink {
 public:
  absl::Status Send(const StageMessage& message) final {
    stage_proto::StageMessage encoded = EncodeStageMessage(message);
    absl::MutexLock lock(&mutex_);
    if (!open_) {
      return absl::UnavailableError("the line between stages is lost");
    }
    if (outgoing_.size() >= kMaxQueued) {
      return absl::ResourceExhaustedError(absl::StrCat(kMaxQueued, " messages wait for the next stage already"));
    }
    outgoing_.push_back(std::move(encoded));
    if (outgoing_.size() == 1) {
      this->StartWrite(&outgoing_.front());  // never calls back on this thread
    }
    return absl::OkStatus();
  }

  bool open() const final {
    absl::MutexLock lock(&mutex_);
    return open_;
  }

 protected:
  // A step has at most 8 micro-batches, so a neighbour that leaves this many lying has stopped working.
  static constexpr size_t kMaxQueued = 256;

  void Read() { this->StartRead(&incoming_); }

  // The message that was read. Errors: INVALID_ARGUMENT.
  absl::StatusOr<StageMessage> TakeIncoming() { return DecodeStageMessage(incoming_); }

  void StopSending() {
    absl::MutexLock lock(&mutex_);
    open_ = false;
  }

  // True when nothing is being written and nothing will be.
  bool Idle() const {
    absl::MutexLock lock(&mutex_);
    return !open_ && outgoing_.empty();
  }

  // To be called when a write has ended.
  void WriteNext(bool ok) {
    absl::MutexLock lock(&mutex_);
    outgoing_.pop_front();
    open_ = open_ && ok;
    if (!open_) {
      outgoing_.clear();
    } else if (!outgoing_.empty()) {
      this->StartWrite(&outgoing_.front());
    }
  }

 private:
  stage_proto::StageMessage incoming_;  // owned by the read in progress

  mutable absl::Mutex mutex_;
  std::deque<stage_proto::StageMessage> outgoing_ ABSL_GUARDED_BY(mutex_);  // the front is being written
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace tandem::transport
