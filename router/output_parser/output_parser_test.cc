#include "router/output_parser/output_parser.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "router/output_parser/testing.h"

namespace tandem::router {
namespace {

using testing::Contains;
using testing::MatchesRegex;
using Kind = OutputEvent::Kind;

TEST(OutputParserTest, HoldsBackNoMoreThanWhatMayBeginAMarker) {
  OutputParser parser = MakeParser({.formats = {.tools = ToolFormat::kHermes}, .tools = nullptr});
  OutputEvents events;
  parser.Push("Hello <too", events);
  ASSERT_EQ(events.list().size(), 1u);
  EXPECT_EQ(events.list()[0].text, "Hello");
  parser.Push("ls>", events);
  EXPECT_EQ(events.list()[0].text, "Hello <tools>");
}

TEST(OutputParserTest, ArgumentsStream) {
  OutputParser parser = MakeParser({.formats = {.tools = ToolFormat::kHermes}, .tools = nullptr});
  OutputEvents events;
  parser.Push(R"(<tool_call>{"name": "f", "arguments": {"a": "lon)", events);
  ASSERT_EQ(events.list().size(), 2u);
  EXPECT_EQ(events.list()[0].kind, Kind::kToolCall);
  EXPECT_EQ(events.list()[1].text, R"({"a": "lon)");
}

TEST(OutputParserTest, MakesIds) {
  for (const bool mistral : {false, true}) {
    OutputParser parser({.formats = {.tools = mistral ? ToolFormat::kMistral : ToolFormat::kHermes}});
    OutputEvents events;
    const std::string call = R"({"name": "f", "arguments": {}})";
    parser.Push(mistral ? "[TOOL_CALLS][" + call + "," + call + "]" : "<tool_call>" + call + "<tool_call>" + call,
                events);
    ASSERT_EQ(events.list().size(), 4u);
    EXPECT_THAT(events.list()[0].id, MatchesRegex(mistral ? "[0-9A-Za-z]{9}" : "call_[0-9A-Za-z]{24}"));
    EXPECT_NE(events.list()[0].id, events.list()[2].id);
  }
}

TEST(OutputParserTest, NamesOfFormatsRoundTrip) {
  for (const std::string& name : ToolFormatNames()) {
    EXPECT_EQ(ToolFormatName(*ToolFormatByName(name)), name);
  }
  for (const std::string& name : ReasoningFormatNames()) {
    EXPECT_EQ(ReasoningFormatName(*ReasoningFormatByName(name)), name);
  }
  EXPECT_FALSE(ToolFormatByName("auto").has_value());
  EXPECT_FALSE(ReasoningFormatByName("").has_value());
}

TEST(OutputParserTest, MarkersAreTheTokensToSee) {
  EXPECT_THAT(MarkersOf({.tools = ToolFormat::kKimiK2}), Contains("<|tool_call_argument_begin|>"));
  EXPECT_THAT(MarkersOf({.reasoning = ReasoningFormat::kMistral}), Contains("[/THINK]"));
  EXPECT_TRUE(MarkersOf({}).empty());
}

TEST(DetectionTest, RecognisesTheMarkersOfTemplates) {
  const auto detect = [](absl::string_view text) { return DetectOutputFormats(text); };
  EXPECT_EQ(detect(R"('<tool_call>\n{"name": "' + name)").tools, ToolFormat::kHermes);
  EXPECT_EQ(detect(R"("<tool_call>\n{\"name\": <function-name>")").tools, ToolFormat::kHermes);
  EXPECT_EQ(detect("<tool_call>\\n<function=").tools, ToolFormat::kQwen3Coder);
  EXPECT_EQ(detect("<tool_call>{name}<arg_key>").tools, ToolFormat::kGlm45);
  EXPECT_EQ(detect("<tool_call>something else").tools, ToolFormat::kNone);
  EXPECT_EQ(detect("{% for m in messages %}{{ m.content }}{% endfor %}").tools, ToolFormat::kNone);
  EXPECT_EQ(detect("a</think>b").reasoning, ReasoningFormat::kThink);
  EXPECT_EQ(detect("a").reasoning, ReasoningFormat::kNone);
}

// Published templates, where the collection is there.
TEST(DetectionTest, KnowsPublishedTemplates) {
  const char* const shared = std::getenv("TANDEM_SHARED");
  const std::string folder = std::string(shared != nullptr ? shared : "../shared") + "/fixtures/chat_templates/";
  const struct {
    const char* file;
    ToolFormat tools;
    ReasoningFormat reasoning;
  } cases[] = {
      {"Qwen-Qwen3-0.6B", ToolFormat::kHermes, ReasoningFormat::kThink},
      {"Qwen-Qwen2.5-7B-Instruct", ToolFormat::kHermes, ReasoningFormat::kNone},
      {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", ToolFormat::kHermes, ReasoningFormat::kNone},
      {"Qwen3-Coder", ToolFormat::kQwen3Coder, ReasoningFormat::kNone},
      {"Qwen3.5-4B", ToolFormat::kQwen3Coder, ReasoningFormat::kThink},
      {"GLM-4.6", ToolFormat::kGlm45, ReasoningFormat::kThink},
      {"llama-cpp-deepseek-r1", ToolFormat::kDeepSeekV3, ReasoningFormat::kThink},
      {"deepseek-ai-DeepSeek-V3.1", ToolFormat::kDeepSeekV31, ReasoningFormat::kThink},
      {"Kimi-K2-Instruct", ToolFormat::kKimiK2, ReasoningFormat::kNone},
      {"mistralai-Mistral-Nemo-Instruct-2407", ToolFormat::kMistral, ReasoningFormat::kNone},
      {"mistralai-Ministral-3-14B-Reasoning-2512", ToolFormat::kMistral, ReasoningFormat::kMistral},
      {"meta-llama-Llama-3.1-8B-Instruct", ToolFormat::kLlama3Json, ReasoningFormat::kNone},
      {"meta-llama-Llama-3.2-3B-Instruct", ToolFormat::kLlama3Json, ReasoningFormat::kNone},
      {"google-gemma-2-2b-it", ToolFormat::kNone, ReasoningFormat::kNone},
  };
  for (const auto& expected : cases) {
    std::ifstream file(folder + expected.file + ".jinja");
    if (!file) GTEST_SKIP() << "no published templates in " << folder;
    std::stringstream text;
    text << file.rdbuf();
    const OutputFormats formats = DetectOutputFormats(text.str());
    EXPECT_EQ(ToolFormatName(formats.tools), ToolFormatName(expected.tools)) << expected.file;
    EXPECT_EQ(ReasoningFormatName(formats.reasoning), ReasoningFormatName(expected.reasoning)) << expected.file;
  }
}

}  // namespace
}  // namespace tandem::router
