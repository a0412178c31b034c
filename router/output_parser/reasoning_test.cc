#include <gmock/gmock.h>

#include "router/output_parser/testing.h"

namespace tandem::router {
namespace {

using testing::ElementsAre;

std::vector<std::string> Think(const std::string& text, bool begins_inside = false) {
  return Parse(
      {.formats = {.reasoning = ReasoningFormat::kThink}, .tools = nullptr, .begins_in_reasoning = begins_inside},
      {text});
}

TEST(ReasoningTest, StandsBetweenTags) {
  EXPECT_THAT(Think("<think>\nHm, 2 < 3.\n</think>\n\nYes."), ElementsAre("reasoning:Hm, 2 < 3.", "content:Yes."));
  EXPECT_THAT(Think("\n<think></think>Yes. "), ElementsAre("content:Yes. "));
}

TEST(ReasoningTest, MayBeginInThePrompt) {
  EXPECT_THAT(Think("Hm.</think>Yes.", true), ElementsAre("reasoning:Hm.", "content:Yes."));
  EXPECT_THAT(Think("<think>\nHm.</think>Yes.", true), ElementsAre("reasoning:Hm.", "content:Yes."));
}

TEST(ReasoningTest, WithoutAnEndIsAllReasoning) {
  EXPECT_THAT(Think("<think>Hm. </thi"), ElementsAre("reasoning:Hm. </thi"));
}

TEST(ReasoningTest, TagsLaterOnAreContent) {
  EXPECT_THAT(Think("Write <think>x</think>."), ElementsAre("content:Write <think>x</think>."));
  EXPECT_THAT(Think("<think>a</think>b <think>c</think>"), ElementsAre("reasoning:a", "content:b <think>c</think>"));
  EXPECT_THAT(Think("<think>a <think> b</think>c"), ElementsAre("reasoning:a <think> b", "content:c"));
  EXPECT_THAT(Think("</think>a"), ElementsAre("content:</think>a"));
  EXPECT_THAT(Think(" <thing>"), ElementsAre("content: <thing>"));
}

TEST(ReasoningTest, CallsAreReadBehindReasoningOnly) {
  const std::string call = R"(<tool_call>{"name":"f","arguments":{}}</tool_call>)";
  EXPECT_THAT(Parse({.formats = {.tools = ToolFormat::kHermes, .reasoning = ReasoningFormat::kThink}, .tools = nullptr},
                    {"<think>" + call + "</think>\n" + call}),
              ElementsAre("reasoning:" + call, "call:0 id0 f", "arguments:0 {}"));
}

TEST(ReasoningTest, KimisCallsEndItsReasoning) {
  EXPECT_THAT(
      Parse({.formats = {.tools = ToolFormat::kKimiK2, .reasoning = ReasoningFormat::kThink}, .tools = nullptr},
            {"<think>Hm. <|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}"
             "<|tool_call_end|><|tool_calls_section_end|>"}),
      ElementsAre("reasoning:Hm.", "call:0 functions.f:0 f", "arguments:0 {}"));
}

TEST(ReasoningTest, TheStateTellsReasoningTokensApart) {
  OutputParser parser = MakeParser({.formats = {.reasoning = ReasoningFormat::kThink}, .tools = nullptr});
  OutputEvents events;
  EXPECT_FALSE(parser.in_reasoning());
  parser.Push("<think>", events);
  EXPECT_TRUE(parser.in_reasoning());
  parser.Push("a", events);
  EXPECT_TRUE(parser.in_reasoning());
  parser.Push("</think>", events);
  EXPECT_FALSE(parser.in_reasoning());
}

}  // namespace
}  // namespace tandem::router
