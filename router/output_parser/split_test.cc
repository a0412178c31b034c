// The result does not depend on where the text was cut, and nothing is lost.
#include <gmock/gmock.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "router/output_parser/testing.h"

namespace tandem::router {
namespace {

// Answers made of pieces that matter to all formats at once.
constexpr const char* kPieces[] = {"<tool_call>",
                                   "</tool_call>",
                                   "\n",
                                   " ",
                                   "Hello é ",
                                   "<",
                                   "{",
                                   "}",
                                   "{\"name\": \"f\", \"arguments\": {\"a\": \"b\"}}",
                                   "{\"name\": \"f\", \"parameters\": {\"n\": [1, 2]}}",
                                   "\"arguments\": {",
                                   ": ",
                                   "\\",
                                   "\"",
                                   "[",
                                   "]",
                                   ",",
                                   ";",
                                   "<think>",
                                   "</think>",
                                   "[THINK]",
                                   "[/THINK]",
                                   "<function=f>",
                                   "<parameter=text>",
                                   "x\n",
                                   "</parameter>",
                                   "</function>",
                                   "f\n<arg_key>n</arg_key>",
                                   "<arg_value>1</arg_value>",
                                   "<｜tool▁calls▁begin｜>",
                                   "<｜tool▁call▁begin｜>",
                                   "function<｜tool▁sep｜>f\n```json\n",
                                   "f<｜tool▁sep｜>",
                                   "\n```",
                                   "<｜tool▁call▁end｜>",
                                   "<｜tool▁calls▁end｜>",
                                   "<|tool_calls_section_begin|>",
                                   "<|tool_call_begin|>",
                                   "functions.f:0<|tool_call_argument_begin|>",
                                   "<|tool_call_end|>",
                                   "<|tool_calls_section_end|>",
                                   "[TOOL_CALLS]",
                                   "f[ARGS]",
                                   "<|python_tag|>"};

constexpr ToolFormat kFormats[] = {ToolFormat::kNone,   ToolFormat::kHermes,     ToolFormat::kQwen3Coder,
                                   ToolFormat::kGlm45,  ToolFormat::kDeepSeekV3, ToolFormat::kDeepSeekV31,
                                   ToolFormat::kKimiK2, ToolFormat::kMistral,    ToolFormat::kLlama3Json};

const Json kTools = Json::parse(R"([{"type":"function","function":{"name":"f","parameters":{"type":"object",
    "properties":{"text":{"type":"string"},"n":{"type":"integer"}}}}}])");

class SplitTest : public testing::Test {
 protected:
  std::string Answer() {
    std::string text;
    const size_t pieces = 1 + random_() % 12;
    for (size_t i = 0; i < pieces; ++i) {
      text += kPieces[random_() % std::size(kPieces)];
    }
    return text;
  }

  ParserCase Case() {
    return {.formats = {.tools = kFormats[random_() % std::size(kFormats)],
                        .reasoning = static_cast<ReasoningFormat>(random_() % 3)},
            .tools = kTools,
            .begins_in_reasoning = random_() % 4 == 0};
  }

  std::vector<std::string> Cut(const std::string& text) {
    std::vector<std::string> pieces;
    for (size_t begin = 0; begin < text.size();) {
      const size_t length = 1 + random_() % 9;
      pieces.push_back(text.substr(begin, length));
      begin += length;
    }
    return pieces;
  }

  const uint32_t seed_ = std::random_device()();
  std::mt19937 random_{seed_};
};

TEST_F(SplitTest, CutsDoNotMatter) {
  for (int round = 0; round < 5000; ++round) {
    const std::string text = Answer();
    const ParserCase options = Case();
    const std::vector<std::string> whole = Parse(options, {text});
    ASSERT_EQ(Parse(options, Cut(text)), whole) << "seed " << seed_ << ": " << text;
  }
}

TEST_F(SplitTest, EverySingleCutDoesNotMatter) {
  for (int round = 0; round < 100; ++round) {
    const std::string text = Answer();
    const ParserCase options = Case();
    const std::vector<std::string> whole = Parse(options, {text});
    for (size_t at = 0; at <= text.size(); ++at) {
      ASSERT_EQ(Parse(options, {text.substr(0, at), text.substr(at)}), whole)
          << "seed " << seed_ << ", cut at " << at << ": " << text;
    }
  }
}

// An answer in which nothing becomes a call or reasoning comes out byte for byte.
TEST_F(SplitTest, PlainAnswersAreUnchanged) {
  int plain = 0;
  for (int round = 0; round < 5000; ++round) {
    const std::string text = Answer();
    ParserCase options = Case();
    options.formats.reasoning = ReasoningFormat::kNone;
    const std::vector<std::string> lines = Parse(options, Cut(text));
    if (lines.size() == 1 && lines[0].rfind("content:", 0) == 0) {
      ++plain;
      ASSERT_EQ(lines[0], "content:" + text) << "seed " << seed_;
    }
  }
  EXPECT_GT(plain, 1000) << "seed " << seed_;
}

}  // namespace
}  // namespace tandem::router
