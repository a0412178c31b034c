// The text level of generation: prompt in, text out, on top of the token engine. Shared by every API front end.
//
// A request is rendered (chat template) and tokenized on the caller's thread, submitted, and the tokens of its answers
// come back as text deltas on the executor: detokenized, free of stop strings, in order.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "router/completion_metrics.h"
#include "router/executor.h"
#include "router/output_parser/output_parser.h"
#include "router/text_codec.h"
#include "router/token_engine.h"

namespace tandem::router {

struct ChatPrompt {
  Json messages;
  Json tools;  // null when none
  PromptOptions options;
  bool add_special_tokens = false;  // templates write their own
};

struct TextPrompt {
  std::string text;
  bool add_special_tokens = true;
};

using TokenPrompt = std::vector<int32_t>;

using Prompt = std::variant<ChatPrompt, TextPrompt, TokenPrompt>;

struct CompletionRequest {
  std::string request_id;
  Prompt prompt;
  // Only so many of the prompt's last tokens are used; -1: as many as leave room for max_tokens.
  std::optional<int32_t> truncate_prompt_tokens;
  SamplingParams sampling;  // max_tokens 0: as many as the context holds; larger values are cut to that
  std::vector<std::string> stop;
  bool include_stop_in_output = false;  // the matched stop string or stop token stays in the text
  bool skip_special_tokens = true;
  // How the answers of a chat are taken apart; null: all text is content. Reasoning that begins in the prompt is
  // noticed.
  std::shared_ptr<const OutputParserOptions> output;
  bool prompt_only = false;  // no token is generated: the answer is what becomes known of the prompt

  int32_t priority = 0;  // these four: see GenerationRequest
  std::string user;
  std::string cache_salt;
  std::shared_ptr<const TokenConstraint> constraint;
  // Makes the constraint where it depends on whether the prompt ends within reasoning; may be empty.
  std::function<absl::StatusOr<std::shared_ptr<const TokenConstraint>>(bool begins_in_reasoning)> make_constraint;
};

struct Usage {
  int32_t prompt_tokens = 0;
  int32_t completion_tokens = 0;
  int32_t cached_tokens = 0;
  int32_t reasoning_tokens = 0;  // of completion_tokens
};

// Of all answers to one prompt: the prompt counts once.
Usage SumUsage(absl::Span<const Usage> answers);

// What made a completion stop, when it was not the model's end of sequence.
using StopReason = std::variant<std::monostate, std::string, int32_t>;

// News of one answer.
struct CompletionDelta {
  int32_t choice = 0;              // which of the n answers
  std::string text;                // may be empty while text is held back, or at the end
  OutputEvents events;             // the text of an answer that is taken apart, instead of `text`
  std::vector<int32_t> token_ids;  // generated since the last delta
  std::vector<std::shared_ptr<const PositionLogprobs>> logprobs;  // of token_ids, one each, if asked for
  std::shared_ptr<const FirstEventInfo> first;                    // with the first delta of an answer
  FinishReason finish_reason = FinishReason::kNone;               // set on the answer's last delta, and only there
  StopReason stop_reason;
  bool has_tool_calls = false;  // so far; with kStop they are what finished the answer
  absl::Status error;           // for kError
  Usage usage;                  // of this answer, so far
};

// Called on the executor, never twice at the same time for one completion.
using CompletionSink = std::function<void(CompletionDelta)>;

// A running completion. Thread-safe.
class Completion {
 public:
  virtual ~Completion() = default;
  // Stops all answers. A delta that is just being handed over may still arrive, none after it.
  virtual void Cancel() = 0;
  // The prompt as the engine got it.
  virtual const std::vector<int32_t>& prompt_tokens() const = 0;
};

struct CompletionOptions {
  absl::Duration request_timeout = absl::InfiniteDuration();  // then a request ends with DEADLINE_EXCEEDED
};

// Thread-safe. Everything handed in must outlive it, and it must outlive its completions.
class CompletionService {
 public:
  CompletionService(TokenEngine* engine, const TextCodec* codec, const PromptTemplate* prompt_template,
                    Executor* executor, CompletionMetrics* metrics, CompletionOptions options = {});

  // Renders and encodes. Errors: INVALID_ARGUMENT (template_error, bad text, token id out of range).
  absl::StatusOr<std::vector<int32_t>> Tokenize(const Prompt& prompt) const;

  // Errors: those of Tokenize; INVALID_ARGUMENT context_length_exceeded; RESOURCE_EXHAUSTED queue_full; UNAVAILABLE
  // draining or no_workers. On error the sink is never called.
  absl::StatusOr<std::shared_ptr<Completion>> Start(CompletionRequest request, CompletionSink sink);

  // When a request that comes now has to be done.
  absl::Time Deadline() const { return absl::Now() + options_.request_timeout; }

  // From now on new requests are refused; running ones go on.
  void Drain() { draining_ = true; }

  // OK when requests can be served; else UNAVAILABLE with the reason.
  absl::Status Health() const;
  // UNAVAILABLE once draining has begun.
  absl::Status Accepting() const;

  const TextCodec& codec() const { return *codec_; }
  TokenEngine& engine() const { return *engine_; }
  Executor& executor() const { return *executor_; }
  CompletionMetrics& metrics() const { return *metrics_; }

 private:
  struct EncodedPrompt {
    std::vector<int32_t> tokens;
    bool opens_reasoning = false;
  };

  absl::StatusOr<EncodedPrompt> Encode(const Prompt& prompt, ReasoningFormat reasoning) const;
  absl::StatusOr<std::shared_ptr<Completion>> Submit(CompletionRequest request, CompletionSink sink);

  TokenEngine* const engine_;
  const TextCodec* const codec_;
  const PromptTemplate* const template_;
  Executor* const executor_;
  CompletionMetrics* const metrics_;
  const CompletionOptions options_;
  std::atomic<bool> draining_ = false;
};

}  // namespace tandem::router
