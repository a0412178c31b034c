// The assistant's message in the JSON of a chat response: as a whole, and as the deltas of a stream.
#pragma once

#include <string>
#include <vector>

#include "router/output_parser/output_event.h"
#include "router/text_codec.h"

namespace tandem::router {

// Under which names reasoning goes out.
enum class ReasoningField : uint8_t { kReasoningContent, kReasoning, kBoth };

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text, as the model wrote it
};

// Grows with the events of an answer.
struct AssistantMessage {
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> tool_calls;

  void Add(const OutputEvent& event);
};

// {"role", "content", "refusal", …}. Content is null in a message that is all tool calls.
Json MessageJson(const AssistantMessage& message, ReasoningField field);

// The `delta` of a chunk: content, reasoning or tool_calls, and only one of them.
Json DeltaJson(const OutputEvent& event, ReasoningField field);

}  // namespace tandem::router
