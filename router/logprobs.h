// Log probabilities of one position.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "router/token_engine.h"

namespace tandem::router {

// Of `token`, and of the `top` most likely tokens (by logit, then by id), under softmax(logits). logits [vocab_size].
PositionLogprobs LogprobsOf(absl::Span<const float> logits, int32_t token, int32_t top);

}  // namespace tandem::router
