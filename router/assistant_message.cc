#include "router/assistant_message.h"

namespace tandem::router {
namespace {

void SetReasoning(const std::string& text, ReasoningField field, Json& out) {
  if (field != ReasoningField::kReasoning) out["reasoning_content"] = text;
  if (field != ReasoningField::kReasoningContent) out["reasoning"] = text;
}

}  // namespace

void AssistantMessage::Add(const OutputEvent& event) {
  switch (event.kind) {
    case OutputEvent::Kind::kContent:
      content += event.text;
      break;
    case OutputEvent::Kind::kReasoning:
      reasoning += event.text;
      break;
    case OutputEvent::Kind::kToolCall:
      tool_calls.push_back({event.id, event.name, ""});
      break;
    case OutputEvent::Kind::kArguments:
      tool_calls.back().arguments += event.text;
      break;
  }
}

Json MessageJson(const AssistantMessage& message, ReasoningField field) {
  const bool only_calls = message.content.empty() && !message.tool_calls.empty();
  Json json = {{"role", "assistant"}, {"content", only_calls ? Json() : Json(message.content)}, {"refusal", nullptr}};
  if (!message.reasoning.empty()) {
    SetReasoning(message.reasoning, field, json);
  }
  for (const ToolCall& call : message.tool_calls) {
    json["tool_calls"].push_back(
        {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return json;
}

Json DeltaJson(const OutputEvent& event, ReasoningField field) {
  Json delta = Json::object();
  switch (event.kind) {
    case OutputEvent::Kind::kContent:
      delta["content"] = event.text;
      break;
    case OutputEvent::Kind::kReasoning:
      SetReasoning(event.text, field, delta);
      break;
    case OutputEvent::Kind::kToolCall:
      delta["tool_calls"].push_back({{"index", event.tool_index},
                                     {"id", event.id},
                                     {"type", "function"},
                                     {"function", {{"name", event.name}, {"arguments", ""}}}});
      break;
    case OutputEvent::Kind::kArguments:
      delta["tool_calls"].push_back({{"index", event.tool_index}, {"function", {{"arguments", event.text}}}});
      break;
  }
  return delta;
}

}  // namespace tandem::router
