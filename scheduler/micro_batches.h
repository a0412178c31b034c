// Cutting a step into micro-batches.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "scheduler/batcher.h"

namespace tandem::scheduler {

struct MicroBatch {
  std::vector<StepItem> items;
  int direction = 0;     // through pipeline stages
  bool follows = false;  // its first item goes on with the sequence that the micro-batch before ends with
};

// At most `count` micro-batches, none of them empty, of sizes that differ by at most one token where that is possible: a
// prompt chunk may be split between neighbours, in order. Every micro-batch has at most ceil(tokens / count) tokens.
// Items keep their order, so decodes and prompts gather in different micro-batches: unlike phases are then in different
// places at the same time.
std::vector<MicroBatch> CutStep(absl::Span<const StepItem> items, int count);

// The same for items of several directions, which do not mix: `directions[i]` is that of items[i], below num_directions.
// `count` is divided by the directions' tokens, with at least one for each that has any. Direction by direction.
std::vector<MicroBatch> CutStep(absl::Span<const StepItem> items, absl::Span<const int> directions, int num_directions,
                                int count);

}  // namespace tandem::scheduler
