// The JSON of OpenAI's completion responses: whole ones and the chunks of a stream.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "router/completion.h"

namespace tandem::router {

enum class ResponseKind { kChat, kText };

// One finished or growing choice.
struct Choice {
  std::string text;
  FinishReason finish_reason = FinishReason::kNone;
  StopReason stop_reason;
};

std::string Dump(const Json& json);
Json UsageJson(const Usage& usage);
// "stop", "length"; null while running.
Json FinishReasonJson(FinishReason reason);

// What all chunks of one response have in common, and the chunks. Const methods only; thread-safe.
class ResponseJson {
 public:
  // `id` is completed with the prefix of the kind.
  ResponseJson(ResponseKind kind, absl::string_view id, std::string model, int64_t created);

  Json Whole(const std::vector<Choice>& choices, const Usage& usage) const;

  // Chunks. The first one of a chat choice names the role; text completions have none (null).
  Json FirstChunk(int index) const;
  Json TextChunk(int index, const std::string& text) const;
  Json FinishChunk(int index, const Choice& choice) const;
  Json UsageChunk(const Usage& usage) const;

 private:
  Json Envelope(bool chunk) const;
  Json Chunk(Json choice) const;

  const ResponseKind kind_;
  const std::string id_;
  const std::string model_;
  const int64_t created_;
};

}  // namespace tandem::router
