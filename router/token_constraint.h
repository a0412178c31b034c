// Structured output, as the engine sees it: which tokens may come next. Grammars live above (router/structured_output.h).
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tandem::router {

// The progress of one sequence through its constraint. Not thread-safe; used by one thread at a time.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Takes a token that the last mask allowed. Errors: INVALID_ARGUMENT when it was not allowed.
  virtual absl::Status Accept(int32_t token) = 0;

  // Sets bit i % 64 of mask[i / 64] for every token i that may come next, and clears the others; the end-of-sequence
  // tokens when the output may end here. At least one bit is set. mask has ceil(vocab_size / 64) words.
  // Errors: INTERNAL when nothing may follow (the vocabulary cannot spell what the constraint demands).
  virtual absl::Status FillMask(absl::Span<uint64_t> mask) = 0;

  // The same state once more, for another answer to the same prompt.
  virtual std::unique_ptr<TokenConstraint> Clone() const = 0;
};

}  // namespace tandem::router
