// Token-level generation: what the API front ends need of the engine. Prompts and results are token ids; templates,
// tokenising, stop strings and detokenising live above (router/completion.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/sampling_params.h"
#include "router/token_constraint.h"

namespace tandem::router {

// What a request wants instead of tokens: the final hidden state of the last token, or the mean over all tokens.
enum class Pooling : uint8_t { kNone, kLast, kMean };

struct GenerationRequest {
  std::string request_id;
  std::vector<int32_t> prompt;  // not empty, ids within the vocabulary
  SamplingParams sampling;
  Pooling pooling = Pooling::kNone;  // not kNone: sampling is ignored, the only event has an embedding

  int32_t priority = 0;    // lower is served first
  std::string user;        // requests of one user share that user's part of the service; may be empty
  std::string cache_salt;  // prefix cache entries are shared only among requests of the same salt
  absl::Time deadline = absl::InfiniteFuture();  // then the request ends with DEADLINE_EXCEEDED

  std::shared_ptr<const TokenConstraint> constraint;  // its initial state, which every answer clones; null: any token
};

enum class FinishReason : uint8_t { kNone, kStop, kLength, kCancelled, kError };

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
  int32_t rank = 0;  // 1: the most likely
};

// One position: the token that is there, and the most likely ones by descending probability.
struct PositionLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
};

// What only the first event of an answer brings.
struct FirstEventInfo {
  int32_t cached_tokens = 0;    // prompt tokens that came from the prefix cache
  absl::Duration queue_time;    // from submission to the first step
  std::vector<PositionLogprobs> prompt_logprobs;  // of prompt tokens 1 … n-1, if asked for; only in answer 0
};

// One event per generated token; the last event of an answer has a finish_reason.
struct TokenEvent {
  int32_t choice = 0;  // which of the n answers
  // Absent in a final event that brings no token (cancelled, error, embedding). An end-of-sequence or stop token is
  // reported.
  std::optional<int32_t> token;
  FinishReason finish_reason = FinishReason::kNone;
  absl::Status error;  // for kError: UNAVAILABLE (worker lost), DEADLINE_EXCEEDED, INTERNAL
  absl::Time time;     // when the step ended that made it
  std::shared_ptr<const FirstEventInfo> first;         // with the first event of an answer
  std::shared_ptr<const PositionLogprobs> logprobs;    // if asked for
  std::shared_ptr<const std::vector<float>> embedding;  // [hidden_size], not normalised; for pooling requests
};

// Called on the engine's output thread, in order; must not block.
using TokenSink = std::function<void(const TokenEvent&)>;

// Thread-safe.
class TokenEngine {
 public:
  virtual ~TokenEngine() = default;

  // Queues a request; `sink` gets its events, for each answer the last one exactly once, also after Cancel.
  // Errors: INVALID_ARGUMENT (empty prompt, id out of range, prompt longer than max_model_len),
  // RESOURCE_EXHAUSTED when the queue is full, UNAVAILABLE while draining or while experts are not covered.
  virtual absl::StatusOr<uint64_t> Submit(GenerationRequest request, TokenSink sink) = 0;

  // Ends all answers of a request, or one of them, within one step. What is unknown or finished is ignored.
  virtual void Cancel(uint64_t id) = 0;
  virtual void CancelChoice(uint64_t id, int32_t choice) = 0;

  // OK when requests can be served; else why not ("2/4 workers ready").
  virtual absl::Status Health() const = 0;

  virtual int32_t max_model_len() const = 0;
  virtual int32_t vocab_size() const = 0;
};

}  // namespace tandem::router
