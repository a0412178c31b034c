// What the engine knows of a request and of each of its answers. Engine thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "router/block_manager.h"
#include "router/logits_rules.h"
#include "router/mask_builder.h"
#include "router/token_engine.h"

namespace tandem::router {

// What all answers to one prompt share.
struct RequestState {
  uint64_t id = 0;
  GenerationRequest request;  // its prompt has moved into the sequence
  int64_t prompt_tokens = 0;
  int64_t max_tokens = 0;  // of each answer
  uint64_t seed = 0;
  std::shared_ptr<const TokenSink> sink;
  absl::Time submitted;

  bool started = false;  // was in the batch at least once
  int32_t cached_tokens = 0;
  absl::Duration queue_time;
  std::vector<PositionLogprobs> prompt_logprobs;  // so far
  std::vector<double> pooled;                     // sum over `pooled_tokens` hidden states
  int64_t pooled_tokens = 0;
  absl::flat_hash_set<int32_t> cancelled_choices;  // before there was a sequence for them
};

// One answer and its progress. `tokens` is prompt and answer; the first `cached` of them are in the KV cache. Until the
// prompt is done, one sequence stands for all answers; then it is forked.
struct Sequence {
  std::shared_ptr<RequestState> request;
  int32_t choice = 0;
  bool forked = false;  // stands for its own answer only
  std::vector<int32_t> tokens;
  int64_t cached = 0;
  int direction = 0;  // through the pipeline stages; set when it joins the batch
  BlockTable table;
  std::unique_ptr<LogitsRules> rules;
  std::shared_ptr<MaskedConstraint> constraint;  // null: any token
  bool reported = false;                         // its first event was sent
  bool finished = false;

  int64_t pending() const { return static_cast<int64_t>(tokens.size()) - cached; }
  int64_t generated() const { return static_cast<int64_t>(tokens.size()) - request->prompt_tokens; }
  bool decoding() const { return generated() > 0 && pending() == 1; }
  int32_t priority() const { return request->request.priority; }

  // The prompt positions from here on have to be computed even if they are in the cache, because something is wanted of
  // each of them.
  int64_t ReusableTokens() const {
    if (request->request.sampling.prompt_logprobs.has_value() && request->request.pooling == Pooling::kNone) {
      const int64_t done = static_cast<int64_t>(request->prompt_logprobs.size());
      return done + 1 < request->prompt_tokens ? done : static_cast<int64_t>(tokens.size()) - 1;
    }
    if (request->request.pooling == Pooling::kMean) {
      return request->pooled_tokens;
    }
    return static_cast<int64_t>(tokens.size()) - 1;
  }
};
using SequencePtr = std::unique_ptr<Sequence>;

// Who keeps running when there is not enough for all: the better priority, then the earlier request.
inline bool Precedes(const Sequence& a, const Sequence& b) {
  if (a.priority() != b.priority()) {
    return a.priority() < b.priority();
  }
  return a.request->id != b.request->id ? a.request->id < b.request->id : a.choice < b.choice;
}

}  // namespace tandem::router
