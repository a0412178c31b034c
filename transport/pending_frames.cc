#include "transport/pending_frames.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::transport {
namespace {

// An id is the slot's generation and number, from 1 on so that no id is 0.
uint64_t IdOf(uint32_t generation, size_t slot) { return (uint64_t{generation} << 32) | (slot + 1); }
size_t SlotOf(uint64_t id) { return static_cast<size_t>(static_cast<uint32_t>(id)) - 1; }

}  // namespace

absl::Status PendingFrames::Named(const absl::Status& status) const {
  return Annotate(status, absl::StrCat("expert worker ", worker_));
}

absl::Status PendingFrames::Refusal(const DispatchFrame& frame) {
  if (!closed_.ok()) {
    return closed_;
  }
  if (frames_.size() - free_.size() >= capacity_) {
    return absl::ResourceExhaustedError(absl::StrCat(capacity_, " frames are outstanding already"));
  }
  // A frame that is no earlier than the timer needs no look at the clock: if it is late, the timer's time has come too.
  if (frame.deadline < sweep_at_ && frame.deadline <= absl::Now()) {
    return absl::DeadlineExceededError(absl::StrCat("layer ", frame.layer, ": deadline passed before sending"));
  }
  return absl::OkStatus();
}

uint64_t PendingFrames::Add(const DispatchFrame& frame, CombineCallback done) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    refused = Refusal(frame);
    if (refused.ok()) {
      if (free_.empty()) {
        free_.push_back(static_cast<uint32_t>(frames_.size()));
        frames_.emplace_back();
      }
      const uint32_t slot = free_.back();
      free_.pop_back();
      Frame& added = frames_[slot];
      added.done = std::move(done);
      added.output_bytes = OutputBytes(frame);
      added.deadline = frame.deadline;
      added.layer = frame.layer;
      if (frame.deadline < sweep_at_) {
        SweepAt(frame.deadline);
      }
      return IdOf(added.generation, slot);
    }
  }
  done(Named(refused));
  return 0;
}

PendingFrames::Frame PendingFrames::Take(size_t slot) {
  Frame taken = std::exchange(frames_[slot], Frame{.generation = frames_[slot].generation + 1});
  free_.push_back(static_cast<uint32_t>(slot));
  return taken;
}

void PendingFrames::Complete(uint64_t id, absl::StatusOr<CombineFrame> result) {
  Frame frame;
  {
    absl::MutexLock lock(&mutex_);
    const size_t slot = SlotOf(id);
    if (slot >= frames_.size() || frames_[slot].done == nullptr || IdOf(frames_[slot].generation, slot) != id) {
      return;
    }
    frame = Take(slot);
  }
  if (!result.ok()) {
    frame.done(Named(result.status()));
  } else if (result->outputs.size() != frame.output_bytes) {
    frame.done(Named(absl::InternalError(absl::StrCat("layer ", frame.layer, ": answered ", result->outputs.size(),
                                                      " bytes, expected ", frame.output_bytes))));
  } else {
    frame.done(std::move(result));
  }
}

void PendingFrames::SweepAt(absl::Time time) {
  if (timer_.has_value()) {
    deadlines_->Cancel(*timer_);
    timer_.reset();
  }
  sweep_at_ = time;
  if (time != absl::InfiniteFuture()) {
    timer_ = deadlines_->Add(time, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) {
        self->Sweep();
      }
    });
  }
}

void PendingFrames::Sweep() {
  std::vector<Frame> late;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = absl::Now();
    absl::Time earliest = absl::InfiniteFuture();
    for (size_t slot = 0; slot < frames_.size(); ++slot) {
      if (frames_[slot].done == nullptr) {
        continue;
      }
      if (frames_[slot].deadline <= now) {
        late.push_back(Take(slot));
      } else {
        earliest = std::min(earliest, frames_[slot].deadline);
      }
    }
    SweepAt(earliest);
  }
  for (const Frame& frame : late) {
    frame.done(Named(absl::DeadlineExceededError(absl::StrCat("layer ", frame.layer, ": no answer in time"))));
  }
}

void PendingFrames::Close(const absl::Status& status) {
  std::vector<Frame> open;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_.ok()) {
      closed_ = status;
    }
    for (size_t slot = 0; slot < frames_.size(); ++slot) {
      if (frames_[slot].done != nullptr) {
        open.push_back(Take(slot));
      }
    }
    SweepAt(absl::InfiniteFuture());
  }
  for (const Frame& frame : open) {
    frame.done(Named(status));
  }
}

}  // namespace tandem::transport
