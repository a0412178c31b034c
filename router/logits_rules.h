// What a request does to logits before sampling, in vLLM's order: only allowed tokens, logit bias, minimum length,
// penalties.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "router/sampling_params.h"

namespace tandem::router {

// The rules of one answer and the token counts that its penalties need. Not thread-safe.
class LogitsRules {
 public:
  // `params` must outlive the rules. `end_tokens` end the model's answers; they and the request's stop tokens are
  // forbidden before min_tokens.
  LogitsRules(const SamplingParams& params, absl::Span<const int32_t> prompt, absl::Span<const int32_t> end_tokens);

  // A token was generated.
  void Count(int32_t token);

  // True when Apply would leave the logits as they are.
  bool empty() const { return !has_rules_; }

  // Edits `logits` [vocab_size] for the token after `generated` ones. `mask`, where not empty, has a bit for each token
  // that a constraint allows (router/token_constraint.h).
  void Apply(absl::Span<float> logits, int64_t generated, absl::Span<const uint64_t> mask) const;

 private:
  struct Seen {
    bool in_prompt = false;
    int32_t generated = 0;
  };

  bool AllowsOnlyEnds(absl::Span<const uint64_t> mask) const;
  void Penalize(absl::Span<float> logits) const;

  const SamplingParams& params_;
  std::vector<int32_t> end_tokens_;
  std::vector<uint64_t> allowed_;  // bits of allowed_token_ids; empty: all
  absl::flat_hash_map<int32_t, Seen> seen_;  // only with penalties
  bool has_rules_ = false;
};

}  // namespace tandem::router
