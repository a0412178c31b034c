// Which tokens go into the next step. Pure: a snapshot of the running sequences in, a plan out.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace tandem::scheduler {

struct BatchLimits {
  int64_t max_batch_tokens = 512;  // tokens of one step
};

// A sequence that has its KV blocks. `pending_tokens` are the tokens known but not yet in the cache: the rest of the
// prompt, or the one token that decode feeds back.
struct SequenceView {
  int64_t pending_tokens = 0;
  bool decoding = false;
};

struct StepItem {
  int32_t sequence = 0;  // index into the snapshot
  int64_t num_tokens = 0;
  bool operator==(const StepItem&) const = default;
};

// Decoding sequences first, one token each; the rest of the budget goes to prompts in the order of the snapshot, the
// last one cut to fit (chunked prefill). Never empty while a sequence has pending tokens; never over the budget.
std::vector<StepItem> PlanStep(absl::Span<const SequenceView> sequences, const BatchLimits& limits);

}  // namespace tandem::scheduler
