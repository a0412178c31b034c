// Hidden states that reach a stage for the step under way: they wait for whoever asks for them, and the other way
// round.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "transport/frame.h"

namespace tandem::router {

// Thread-safe. Callbacks run without the lock, on the thread that brings the news.
class StageMailbox {
 public:
  // A new step: whoever waits for an earlier one is told, and finds CANCELLED.
  void Begin(uint64_t step, size_t micro_batches);

  // Rows of another step than the present one are dropped.
  void Deliver(uint64_t step, int32_t micro_batch, transport::FrameBuffer rows);

  // True while somebody waits for something of the step.
  bool Awaited(uint64_t step) const;

  // Nothing more will come for the step. Rows that are there already stay.
  void Fail(uint64_t step, const absl::Status& error);
  void FailPresent(const absl::Status& error);  // whichever step it is

  // See StageHandover.
  void Expect(uint64_t step, int32_t micro_batch, std::function<void()> arrived);
  absl::StatusOr<transport::FrameBuffer> Take(uint64_t step, int32_t micro_batch);

 private:
  struct Slot {
    std::optional<transport::FrameBuffer> rows;
    std::function<void()> arrived;  // of whoever waits
  };
  using Callbacks = std::vector<std::function<void()>>;

  Callbacks FailLocked(const absl::Status& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  uint64_t step_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);  // by micro-batch
};

}  // namespace tandem::router
