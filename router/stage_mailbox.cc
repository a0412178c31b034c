#include "router/stage_mailbox.h"

#include <algorithm>
#include <utility>

namespace tandem::router {

using transport::FrameBuffer;

StageMailbox::Callbacks StageMailbox::FailLocked(const absl::Status& error) {
  error_.Update(error);
  Callbacks waiting;
  for (Slot& slot : slots_) {
    if (slot.arrived) {
      waiting.push_back(std::exchange(slot.arrived, nullptr));
    }
  }
  return waiting;
}

void StageMailbox::Begin(uint64_t step, size_t micro_batches) {
  Callbacks waiting;
  {
    absl::MutexLock lock(&mutex_);
    waiting = FailLocked(absl::OkStatus());
    step_ = step;
    error_ = absl::OkStatus();
    slots_.clear();
    slots_.resize(micro_batches);
  }
  for (const auto& arrived : waiting) {
    arrived();
  }
}

void StageMailbox::Deliver(uint64_t step, int32_t micro_batch, FrameBuffer rows) {
  std::function<void()> arrived;
  {
    absl::MutexLock lock(&mutex_);
    if (step != step_ || micro_batch < 0 || micro_batch >= static_cast<int32_t>(slots_.size())) {
      return;
    }
    slots_[micro_batch].rows = std::move(rows);
    arrived = std::exchange(slots_[micro_batch].arrived, nullptr);
  }
  if (arrived) {
    arrived();
  }
}

bool StageMailbox::Awaited(uint64_t step) const {
  absl::MutexLock lock(&mutex_);
  return step == step_ &&
         std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.arrived != nullptr; });
}

void StageMailbox::Fail(uint64_t step, const absl::Status& error) {
  Callbacks waiting;
  {
    absl::MutexLock lock(&mutex_);
    if (step == step_) {
      waiting = FailLocked(error);
    }
  }
  for (const auto& arrived : waiting) {
    arrived();
  }
}

void StageMailbox::FailPresent(const absl::Status& error) {
  Callbacks waiting;
  {
    absl::MutexLock lock(&mutex_);
    waiting = FailLocked(error);
  }
  for (const auto& arrived : waiting) {
    arrived();
  }
}

void StageMailbox::Expect(uint64_t step, int32_t micro_batch, std::function<void()> arrived) {
  {
    absl::MutexLock lock(&mutex_);
    if (step == step_ && error_.ok() && !slots_[micro_batch].rows.has_value()) {
      slots_[micro_batch].arrived = std::move(arrived);
      return;
    }
  }
  arrived();
}

absl::StatusOr<FrameBuffer> StageMailbox::Take(uint64_t step, int32_t micro_batch) {
  absl::MutexLock lock(&mutex_);
  if (step != step_) {
    return absl::CancelledError("a later step has begun");
  }
  if (slots_[micro_batch].rows.has_value()) {
    return *std::exchange(slots_[micro_batch].rows, std::nullopt);
  }
  return error_.ok() ? absl::InternalError("nothing has arrived") : error_;
}

}  // namespace tandem::router
