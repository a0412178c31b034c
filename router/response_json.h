// The JSON of OpenAI's completion responses: whole ones and the chunks of a stream.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "router/assistant_message.h"
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
  std::string text;          // of a text completion
  AssistantMessage message;  // of a chat; not for streams
  std::vector<int32_t> token_ids;
  LogprobList logprobs;
  int64_t text_offset = 0;  // characters that were streamed with log probabilities
  FinishReason finish_reason = FinishReason::kNone;
  bool has_tool_calls = false;
  StopReason stop_reason;
};

Json UsageJson(const Usage& usage);
// "stop", "length", "tool_calls"; null while running.
Json FinishReasonJson(FinishReason reason, bool has_tool_calls);

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
  // None when the delta has nothing to tell; in a chat one for each kind of news.
  std::vector<Json> DeltaChunks(const CompletionDelta& delta, int index, Choice& choice) const;
  Json FinishChunk(int index, const Choice& choice) const;
  Json UsageChunk(const Usage& usage) const;

 private:
  Json Envelope(bool chunk) const;
  Json Chunk(Json choice) const;
  std::vector<Json> ChatDeltas(const CompletionDelta& delta) const;
  Json DeltaLogprobs(const CompletionDelta& delta, Choice& choice) const;
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
