#include "scheduler/batcher.h"

#include <algorithm>

namespace tandem::scheduler {

std::vector<StepItem> PlanStep(absl::Span<const SequenceView> sequences, const BatchLimits& limits) {
  std::vector<StepItem> plan;
  int64_t budget = limits.max_batch_tokens;
  for (const bool decoding : {true, false}) {
    for (size_t i = 0; i < sequences.size() && budget > 0; ++i) {
      if (sequences[i].decoding != decoding || sequences[i].pending_tokens == 0) {
        continue;
      }
      const int64_t tokens = std::min(sequences[i].pending_tokens, budget);
      plan.push_back({static_cast<int32_t>(i), tokens});
      budget -= tokens;
    }
  }
  return plan;
}

}  // namespace tandem::scheduler
