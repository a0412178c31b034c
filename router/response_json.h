// The JSON of OpenAI's completion responses: whole ones and the chunks of a stream.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "router/completion.h"
#include "router/logprobs_json.h"
#include "router/request_parser.h"

namespace tandem::router {

enum class ResponseKind { kChat, kText };

// One of the prompts, and what became known of it.
struct PromptInfo {
  std::string text;  // only for echo
  std::vector<int32_t> token_ids;
  std::shared_ptr<const FirstEventInfo> first = std::make_shared<FirstEventInfo>();  // empty until an answer begins
};

// One finished or growing choice.
struct Choice {
  std::string text;
  std::vector<int32_t> token_ids;
  LogprobList logprobs;
  int64_t text_offset = 0;  // characters that were streamed with log probabilities
  FinishReason finish_reason = FinishReason::kNone;
  StopReason stop_reason;
};

Json UsageJson(const Usage& usage);
// "stop", "length"; null while running.
Json FinishReasonJson(FinishReason reason);

// What all chunks of one response have in common, and the chunks. Const methods only; thread-safe. `codec` must outlive
// it.
class ResponseJson {
 public:
  // `id` is completed with the prefix of the kind.
  ResponseJson(ResponseKind kind, absl::string_view id, std::string model, ResponseOptions options,
               const TextCodec* codec);

  const ResponseOptions& options() const { return options_; }

  // The choices of the first prompt, those of the second, and so on: equally many for each.
  Json Whole(const std::vector<Choice>& choices, const std::vector<PromptInfo>& prompts, const Usage& usage) const;

  // Chunks. The first one of a chat choice names the role; text completions have none (null) unless it tells the
  // prompt's tokens.
  Json FirstChunk(int index, const PromptInfo& prompt) const;
  // Null when the delta has nothing to tell.
  Json DeltaChunk(const CompletionDelta& delta, int index, Choice& choice) const;
  Json FinishChunk(int index, const Choice& choice) const;
  Json UsageChunk(const Usage& usage) const;

 private:
  Json Envelope(bool chunk) const;
  Json Chunk(Json choice) const;
  Json ChatChoice(const Choice& choice) const;
  Json TextChoice(const Choice& choice, const PromptInfo& prompt) const;
  Json TextLogprobs(const Choice& choice, const PromptInfo& prompt) const;
  Json PromptLogprobs(const PromptInfo& prompt) const;

  const ResponseKind kind_;
  const std::string id_;
  const std::string model_;
  const int64_t created_;
  const ResponseOptions options_;
  const LogprobsJson logprobs_;
};

}  // namespace tandem::router
