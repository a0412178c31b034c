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

namespace tandem::router {

// Order of filters: temperature, top_k, top_p, min_p. temperature 0 is greedy.
struct SamplingParams {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int32_t top_k = 0;  // 0: off
  float min_p = 0.0f;
  std::optional<uint64_t> seed;  // absent: drawn at random at submission
  int32_t max_tokens = 0;        // > 0; the engine clamps it to the context left
  int32_t min_tokens = 0;        // end-of-sequence and stop tokens are masked before
  bool ignore_eos = false;
  std::vector<int32_t> stop_token_ids;  // besides the model's end-of-sequence tokens
};

struct GenerationRequest {
  std::string request_id;
  std::vector<int32_t> prompt;  // not empty, ids within the vocabulary
  SamplingParams sampling;
};

enum class FinishReason : uint8_t { kNone, kStop, kLength, kCancelled, kError };

// One event per generated token; the last event of a sequence has a finish_reason.
struct TokenEvent {
  // Absent in a final event that brings no token (cancelled, error). An end-of-sequence or stop token is reported.
  std::optional<int32_t> token;
  FinishReason finish_reason = FinishReason::kNone;
  absl::Status error;          // for kError: UNAVAILABLE (worker lost), DEADLINE_EXCEEDED, INTERNAL
  int32_t cached_tokens = 0;   // prompt tokens that came from the prefix cache
};

// Called on the engine's thread, in order; must not block.
using TokenSink = std::function<void(const TokenEvent&)>;

// Thread-safe.
class TokenEngine {
 public:
  virtual ~TokenEngine() = default;

  // Queues a request; `sink` gets its events, the last one exactly once, also after Cancel.
  // Errors: INVALID_ARGUMENT (empty prompt, id out of range, prompt longer than max_model_len),
  // RESOURCE_EXHAUSTED when the queue is full, UNAVAILABLE while draining or while experts are not covered.
  virtual absl::StatusOr<uint64_t> Submit(GenerationRequest request, TokenSink sink) = 0;

  // Ends a request within one step. Unknown or finished ids are ignored.
  virtual void Cancel(uint64_t id) = 0;

  // OK when requests can be served; else why not ("2/4 workers ready").
  virtual absl::Status Health() const = 0;

  virtual int32_t max_model_len() const = 0;
  virtual int32_t vocab_size() const = 0;
};

}  // namespace tandem::router
