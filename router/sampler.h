// From logits to a token.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "router/token_engine.h"

namespace tandem::router {

// A uniform number in [0, 1) that depends on (seed, position) alone: Philox 4x32-10 (Salmon et al., SC'11) with the
// seed as key and the position as counter.
double UniformAt(uint64_t seed, uint64_t position);

// The next token for `logits` [vocab_size]; entries of -infinity are never chosen while another is finite. Greedy takes the lowest
// id among equals. Filters in vLLM's order: temperature, min_p, top_k, top_p; candidates are ranked by probability, then
// by id. `position` is the index of the token to be drawn within its sequence. NaN logits count as -infinity.
int32_t SampleToken(absl::Span<const float> logits, const SamplingParams& params, uint64_t seed, uint64_t position);

}  // namespace tandem::router
