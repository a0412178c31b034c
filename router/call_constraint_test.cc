#include "router/call_constraint.h"

#include <gmock/gmock.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"
#include "router/testing/byte_codec.h"

namespace tandem::router {
namespace {

const Json kTools = Json::parse(R"([
    {"type":"function","function":{"name":"weather","parameters":{"type":"object","additionalProperties":false,
      "properties":{"city":{"type":"string","maxLength":8},"days":{"type":"integer","minimum":1,"maximum":5},
                    "unit":{"enum":["C","F"]}},"required":["city","days"]}}},
    {"type":"function","function":{"name":"now"}}])");

class CallConstraintTest : public testing::TestWithParam<ToolFormat> {
 protected:
  CallConstraintTest() {
    StructuredOutputOptions options;
    options.end_tokens = {ByteCodec::kEnd};
    structured_output_ = std::make_unique<StructuredOutput>(&codec_, ByteCodec::kVocabSize, std::move(options));
  }

  // An answer of random tokens, as far as the constraint lets it be random.
  std::string Sample(const TokenConstraint& initial) {
    const std::unique_ptr<TokenConstraint> constraint = initial.Clone();
    std::vector<int32_t> tokens;
    while (tokens.size() < 5000) {
      std::vector<uint64_t> mask((ByteCodec::kVocabSize + 63) / 64);
      TANDEM_CHECK(constraint->FillMask(absl::MakeSpan(mask)).ok());
      std::vector<int32_t> allowed;
      for (int32_t token = 0; token < ByteCodec::kVocabSize; ++token) {
        if ((mask[token / 64] >> (token % 64)) & 1) allowed.push_back(token);
      }
      const int32_t token = allowed[random_() % allowed.size()];
      if (token == ByteCodec::kEnd) return codec_.Decode(tokens, false);
      TANDEM_CHECK(constraint->Accept(token).ok());
      tokens.push_back(token);
    }
    ADD_FAILURE() << "does not end: " << codec_.Decode(tokens, false);
    return "";
  }

  ByteCodec codec_;
  std::unique_ptr<StructuredOutput> structured_output_;
  const uint32_t seed_ = std::random_device()();
  std::mt19937 random_{seed_};
};

void ExpectValid(const OutputEvent& call, const std::string& arguments) {
  const Json json = Json::parse(arguments, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(json.is_object()) << arguments;
  if (call.name == "now") {
    EXPECT_TRUE(json.empty());
    return;
  }
  EXPECT_EQ(call.name, "weather");
  EXPECT_TRUE(json["city"].is_string());
  EXPECT_TRUE(json["days"].is_number_integer() && json["days"] >= 1 && json["days"] <= 5) << arguments;
  for (const auto& [key, value] : json.items()) {
    EXPECT_TRUE(key == "city" || key == "days" || (key == "unit" && (value == "C" || value == "F"))) << arguments;
  }
}

TEST_P(CallConstraintTest, EveryAnswerIsCalls) {
  for (const bool several : {false, true}) {
    const auto constraint =
        ConstrainToCalls(*structured_output_, {.formats = {.tools = GetParam()}, .tools = kTools, .several = several});
    ASSERT_TRUE(constraint.ok()) << constraint.status();
    for (int i = 0; i < 20; ++i) {
      const std::string text = Sample(**constraint);
      OutputParser parser({.formats = {.tools = ForcedFormat(GetParam())}, .schemas = ToolSchemas(kTools)});
      OutputEvents events;
      parser.Push(text, events);
      parser.Finish(events);
      const auto& list = events.list();
      ASSERT_FALSE(list.empty()) << "seed " << seed_;
      ASSERT_TRUE(several || list.size() == 2) << text;
      for (size_t k = 0; k < list.size(); k += 2) {
        ASSERT_EQ(list[k].kind, OutputEvent::Kind::kToolCall) << "seed " << seed_ << ": " << text;
        ASSERT_EQ(list[k + 1].kind, OutputEvent::Kind::kArguments) << text;
        ExpectValid(list[k], list[k + 1].text);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllFormats, CallConstraintTest,
                         testing::Values(ToolFormat::kHermes, ToolFormat::kQwen3Coder, ToolFormat::kGlm45,
                                         ToolFormat::kDeepSeekV3, ToolFormat::kDeepSeekV31, ToolFormat::kKimiK2,
                                         ToolFormat::kMistral, ToolFormat::kLlama3Json));

TEST_F(CallConstraintTest, SchemasThatCannotBeKeptAreRefused) {
  Json tools = kTools;
  tools[0]["function"]["parameters"]["properties"]["city"] = {{"not", Json::object()}};
  const auto constraint =
      ConstrainToCalls(*structured_output_, {.formats = {.tools = ToolFormat::kHermes}, .tools = tools});
  EXPECT_EQ(ApiParam(constraint.status()), "tools");
  EXPECT_THAT(constraint.status().message(), testing::HasSubstr("tools[0].function.parameters"));
}

}  // namespace
}  // namespace tandem::router
