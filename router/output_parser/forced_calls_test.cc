#include "router/output_parser/forced_calls.h"

#include <gmock/gmock.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "model/grammar/token_table.h"
#include "router/output_parser/testing.h"

namespace tandem::router {
namespace {

using grammar::Expression;
using testing::ElementsAre;
using testing::HasSubstr;

const Json kTools = Json::parse(R"([{"type":"function","function":{"name":"weather","parameters":{"properties":{}}}},
                                   {"type":"function","function":{"name":"now"}}])");

// Stands for a schema compiler: the one object {"a": "x"}.
absl::StatusOr<Expression> OneObject(const Json& schema) {
  EXPECT_EQ(schema, Json::parse(R"({"properties":{},"type":"object"})"));
  return Expression::Literal(R"({"a": "x"})");
}

grammar::Automaton Compile(const ForcedCalls& calls) {
  grammar::Budget budget;
  const auto expression = ForcedCallsExpression(calls, OneObject, budget);
  EXPECT_TRUE(expression.ok()) << expression.status();
  auto automaton = grammar::ToAutomaton(*expression, budget);
  EXPECT_TRUE(automaton.ok()) << automaton.status();
  return *std::move(automaton);
}

// A way through the automaton, chosen at random but for its end, which it takes where it can after `patience` bytes.
std::string Walk(const grammar::Automaton& automaton, uint32_t seed, int patience) {
  std::mt19937 random(seed);
  std::string text;
  uint32_t state = 0;
  while (true) {
    const auto& edges = automaton.states[state].edges;
    if (automaton.states[state].accepts && (edges.empty() || static_cast<int>(text.size()) > patience)) return text;
    const auto& edge = edges[random() % edges.size()];
    text.push_back(static_cast<char>(edge.first));
    state = edge.target;
  }
}

class ForcedCallsTest : public testing::TestWithParam<ToolFormat> {};

TEST_P(ForcedCallsTest, WhatTheGrammarAllowsIsReadBackAsCalls) {
  const ToolFormat format = ForcedFormat(GetParam());
  for (const bool several : {false, true}) {
    const grammar::Automaton automaton =
        Compile({.formats = {.tools = GetParam()}, .tools = kTools, .several = several});
    size_t most = 0;
    for (uint32_t seed = 0; seed < 20; ++seed) {
      const std::string text = Walk(automaton, seed, several ? 300 : 0);
      ASSERT_TRUE(automaton.Matches(text));
      const std::string decoded = absl::StrReplaceAll(text, {{"\xff", ""}});  // around special tokens
      const std::vector<std::string> lines = Parse({.formats = {.tools = format}, .tools = kTools}, {decoded});
      ASSERT_EQ(lines.size() % 2, 0u) << text;
      most = std::max(most, lines.size());
      for (size_t i = 0; i < lines.size(); i += 2) {
        ASSERT_THAT(lines[i], testing::StartsWith("call:")) << text;
        const bool is_weather = testing::Value(lines[i], HasSubstr("weather"));
        ASSERT_THAT(lines[i + 1], testing::EndsWith(is_weather ? R"( {"a": "x"})" : " {}")) << text;
      }
    }
    EXPECT_EQ(most > 2, several);
  }
}

INSTANTIATE_TEST_SUITE_P(AllFormats, ForcedCallsTest,
                         testing::Values(ToolFormat::kHermes, ToolFormat::kQwen3Coder, ToolFormat::kGlm45,
                                         ToolFormat::kDeepSeekV3, ToolFormat::kDeepSeekV31, ToolFormat::kKimiK2,
                                         ToolFormat::kMistral, ToolFormat::kLlama3Json));

constexpr char kCall[] = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";

TEST(ForcedCallsReasoningTest, ComesFirst) {
  ForcedCalls calls = {.formats = {.tools = ToolFormat::kHermes, .reasoning = ReasoningFormat::kThink},
                       .tools = kTools};
  const grammar::Automaton closed = Compile(calls);
  EXPECT_TRUE(closed.Matches(kCall));
  EXPECT_TRUE(closed.Matches(absl::StrCat("<think>a <</think < b</think>\n\n", kCall)));
  EXPECT_FALSE(closed.Matches(absl::StrCat("a</think>", kCall)));
  EXPECT_FALSE(closed.Matches(absl::StrCat("Well: ", kCall)));
  calls.begins_in_reasoning = true;
  const grammar::Automaton open = Compile(calls);
  EXPECT_TRUE(open.Matches(absl::StrCat("a</think>", kCall)));
  EXPECT_FALSE(open.Matches(absl::StrCat("a</think>b</think>", kCall)));
  EXPECT_TRUE(open.Matches(absl::StrCat("a", grammar::TokenTable::SpecialTokenBytes("</think>"), kCall)));
  EXPECT_FALSE(open.Matches(kCall));
}

TEST(ForcedCallsErrorTest, NamesTheTool) {
  grammar::Budget budget;
  const auto refuse = [](const Json&) -> absl::StatusOr<Expression> { return absl::InvalidArgumentError("/x: no"); };
  const auto expression =
      ForcedCallsExpression({.formats = {.tools = ToolFormat::kHermes}, .tools = kTools}, refuse, budget);
  EXPECT_THAT(expression.status().message(), HasSubstr("tools[0].function.parameters"));
  EXPECT_THAT(expression.status().message(), HasSubstr("/x: no"));
}

}  // namespace
}  // namespace tandem::router
