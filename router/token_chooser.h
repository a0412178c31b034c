// Chooses the next token of a sequence from its logits: constraint, rules, sampling, log probabilities.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "router/sampler.h"
#include "router/sequence.h"

namespace tandem::router {

// Holds scratch memory only. Not thread-safe.
class TokenChooser {
 public:
  struct Choice {
    int32_t token = 0;
    std::shared_ptr<const PositionLogprobs> logprobs;  // if the request asks for them
  };

  // Prepares `logits` [vocab_size] for the sequence's next token; they may be edited and must stay alive for Draw.
  // Errors: those of the constraint.
  absl::Status Prepare(const Sequence& sequence, absl::Span<float> logits);

  // Draws answer `choice`'s token from what was prepared. Errors: INVALID_ARGUMENT when rules and constraint together
  // leave no token.
  absl::StatusOr<Choice> Draw(const Sequence& sequence, int32_t choice);

 private:
  Sampler sampler_;
  absl::Span<const float> logits_;      // after the rules
  absl::Span<const float> raw_logits_;  // before; only where log probabilities are wanted
  std::vector<float> copy_;
};

}  // namespace tandem::router
