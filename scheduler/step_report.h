// What a step did with its time.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "scheduler/cost_model.h"

namespace tandem::scheduler {

struct TimeSpan {
  absl::Time begin;
  absl::Time end;
};

// The forward pass of one step. router + shared + expert_wait + wire_wait + stage_wait is all of it.
struct StepReport {
  absl::Duration router;       // embedding, attention, gate, dispatch, combine
  absl::Duration shared;       // shared experts
  absl::Duration expert_wait;  // the router had nothing to do and a worker was computing
  absl::Duration wire_wait;    // the router had nothing to do and no worker was computing: exposed communication
  absl::Duration stage_wait;   // nothing of this stage was under way: it waited for other pipeline stages
  absl::Duration expert;       // of the slowest worker of every dispatch, computing; hidden or not
  absl::Duration wire;         // all communication, hidden or not: both ways of every dispatch
  int64_t dispatch_bytes = 0;
  int64_t combine_bytes = 0;
  int micro_batches = 0;
  std::vector<std::pair<MicroBatchLoad, LayerCost>> layers;  // of each micro-batch, averaged over layers with experts

  absl::Duration total() const { return router + shared + expert_wait + wire_wait + stage_wait; }
};

// How much of `waits` falls into the union of `others`. Waits do not overlap each other.
absl::Duration Overlap(absl::Span<const TimeSpan> waits, std::vector<TimeSpan> others);

}  // namespace tandem::scheduler
