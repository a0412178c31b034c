#include "transport/pending_frames.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::transport {

absl::Status PendingFrames::Named(const absl::Status& status) const {
  return Annotate(status, absl::StrCat("expert worker ", worker_));
}

uint64_t PendingFrames::Add(const DispatchFrame& frame, CombineCallback done) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    if (!closed_.ok()) {
      refused = closed_;
    } else if (entries_.size() >= capacity_) {
      refused = absl::ResourceExhaustedError(absl::StrCat(capacity_, " frames are outstanding already"));
    } else if (frame.deadline != absl::InfiniteFuture() && frame.deadline <= absl::Now()) {
      refused = absl::DeadlineExceededError(absl::StrCat("layer ", frame.layer, ": deadline passed before sending"));
    } else {
      const uint64_t id = next_id_++;
      entries_.emplace(id, Entry{std::move(done), OutputBytes(frame), frame.layer, std::nullopt});
      return id;
    }
  }
  done(Named(refused));
  return 0;
}

void PendingFrames::Arm(uint64_t id, absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) {
    return;
  }
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(id);
  if (it == entries_.end()) {
    return;
  }
  const std::weak_ptr<PendingFrames> weak = weak_from_this();
  it->second.timer = deadlines_->Add(deadline, [weak, id, layer = it->second.layer] {
    if (const auto self = weak.lock()) {
      self->Complete(id, absl::DeadlineExceededError(absl::StrCat("layer ", layer, ": no answer in time")));
    }
  });
}

void PendingFrames::Complete(uint64_t id, absl::StatusOr<CombineFrame> result) {
  Entry entry;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end()) {
      return;
    }
    entry = std::move(it->second);
    entries_.erase(it);
  }
  if (entry.timer.has_value()) {
    deadlines_->Cancel(*entry.timer);
  }
  if (!result.ok()) {
    entry.done(Named(result.status()));
  } else if (result->outputs.size() != entry.output_bytes) {
    entry.done(Named(absl::InternalError(absl::StrCat("layer ", entry.layer, ": answered ", result->outputs.size(),
                                                      " bytes, expected ", entry.output_bytes))));
  } else {
    entry.done(std::move(result));
  }
}

void PendingFrames::Close(const absl::Status& status) {
  absl::flat_hash_map<uint64_t, Entry> entries;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_.ok()) {
      closed_ = status;
    }
    entries.swap(entries_);
  }
  for (auto& [id, entry] : entries) {
    if (entry.timer.has_value()) {
      deadlines_->Cancel(*entry.timer);
    }
    entry.done(Named(status));
  }
}

}  // namespace tandem::transport
