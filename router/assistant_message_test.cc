#include "router/assistant_message.h"

#include <gtest/gtest.h>

namespace tandem::router {
namespace {

using Kind = OutputEvent::Kind;

OutputEvents Events(bool with_content) {
  OutputEvents events;
  events.AddText(Kind::kReasoning, "hm");
  if (with_content) events.AddText(Kind::kContent, "Wait.");
  events.AddToolCall(0, "call_1", "f");
  events.AddText(Kind::kArguments, "{\"a\": 1}", 0);
  return events;
}

AssistantMessage Collected(const OutputEvents& events) {
  AssistantMessage message;
  for (const OutputEvent& event : events.list()) {
    message.Add(event);
  }
  return message;
}

TEST(AssistantMessageTest, WholeMessages) {
  EXPECT_EQ(MessageJson({.content = "hi", .reasoning = "", .tool_calls = {}}, ReasoningField::kBoth),
            Json::parse(R"({"role":"assistant","content":"hi","refusal":null})"));
  EXPECT_EQ(MessageJson(Collected(Events(true)), ReasoningField::kReasoningContent),
            Json::parse(R"({"role":"assistant","content":"Wait.","refusal":null,"reasoning_content":"hm","tool_calls":
                [{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]})"));
  EXPECT_TRUE(MessageJson(Collected(Events(false)), ReasoningField::kBoth)["content"].is_null());
  EXPECT_EQ(MessageJson(AssistantMessage(), ReasoningField::kBoth)["content"], "");
}

TEST(AssistantMessageTest, ReasoningHasTheNamesAskedFor) {
  const AssistantMessage message = Collected(Events(false));
  const auto names = [&](ReasoningField field) {
    const Json json = MessageJson(message, field);
    return std::pair(json.contains("reasoning_content"), json.contains("reasoning"));
  };
  EXPECT_EQ(names(ReasoningField::kReasoningContent), std::pair(true, false));
  EXPECT_EQ(names(ReasoningField::kReasoning), std::pair(false, true));
  EXPECT_EQ(names(ReasoningField::kBoth), std::pair(true, true));
}

TEST(AssistantMessageTest, DeltasHaveOneThingEach) {
  const OutputEvents events = Events(true);
  const auto delta = [&](size_t i) { return DeltaJson(events.list()[i], ReasoningField::kReasoningContent); };
  EXPECT_EQ(delta(0), Json::parse(R"({"reasoning_content":"hm"})"));
  EXPECT_EQ(delta(1), Json::parse(R"({"content":"Wait."})"));
  EXPECT_EQ(delta(2), Json::parse(R"({"tool_calls":[{"index":0,"id":"call_1","type":"function",
                                      "function":{"name":"f","arguments":""}}]})"));
  EXPECT_EQ(delta(3), Json::parse(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"a\": 1}"}}]})"));
}

}  // namespace
}  // namespace tandem::router
