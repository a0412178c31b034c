#include "router/structured_output.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "router/api_error.h"
#include "router/testing/byte_codec.h"

namespace tandem::router {
namespace {

using Kind = GrammarSpec::Kind;

absl::StatusOr<std::optional<GrammarSpec>> Read(const char* body) {
  const Json json = Json::parse(body);
  FieldReader fields(json);
  auto spec = ReadStructuredOutput(fields);
  EXPECT_TRUE(!spec.ok() || fields.Unknown().empty()) << body;
  return spec;
}

class StructuredOutputTest : public ::testing::Test {
 protected:
  std::unique_ptr<TokenConstraint> Begin(Kind kind, const Json& value) {
    auto constraint = service_.Constrain({kind, value, "field"});
    EXPECT_TRUE(constraint.ok()) << constraint.status();
    return (*constraint)->Clone();
  }

  // The tokens that may follow, as text; "$" for the end, "?" for other special tokens.
  static std::string Next(TokenConstraint& constraint) {
    std::vector<uint64_t> mask((ByteCodec::kVocabSize + 63) / 64, ~uint64_t{0});
    EXPECT_TRUE(constraint.FillMask(absl::MakeSpan(mask)).ok());
    std::string next;
    for (int32_t token = 0; token < static_cast<int32_t>(mask.size() * 64); ++token) {
      if ((mask[token / 64] >> (token % 64) & 1) == 0) continue;
      next += token == ByteCodec::kEnd ? "$" : token < 256 ? std::string(1, static_cast<char>(token)) : "?";
    }
    return next;
  }

  const ByteCodec codec_;
  StructuredOutput service_{&codec_, ByteCodec::kVocabSize, {.max_grammars = 2, .end_tokens = {ByteCodec::kEnd}}};
};

TEST(ReadStructuredOutputTest, EveryFieldHasItsKind) {
  const std::pair<const char*, Kind> cases[] = {
      {R"({"response_format":{"type":"json_object"}})", Kind::kJsonObject},
      {R"({"response_format":{"type":"json_object","schema":{"type":"object"}}})", Kind::kJsonSchema},
      {R"({"response_format":{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":{}}}})",
       Kind::kJsonSchema},
      {R"({"structured_outputs":{"json":{"type":"object"}}})", Kind::kJsonSchema},
      {R"({"structured_outputs":{"json":"{\"type\":\"object\"}"}})", Kind::kJsonSchema},
      {R"({"structured_outputs":{"json_object":true}})", Kind::kJsonObject},
      {R"({"structured_outputs":{"regex":"a+"}})", Kind::kRegex},
      {R"({"structured_outputs":{"choice":["a"]}})", Kind::kChoice},
      {R"({"structured_outputs":{"grammar":"root ::= \"a\""}})", Kind::kGrammar},
      {R"({"guided_json":{"type":"object"}})", Kind::kJsonSchema},
      {R"({"guided_regex":"a+","guided_decoding_backend":"auto"})", Kind::kRegex},
      {R"({"guided_choice":["a","b"],"response_format":{"type":"text"}})", Kind::kChoice},
      {R"({"guided_grammar":"root ::= \"a\""})", Kind::kGrammar},
  };
  for (const auto& [body, kind] : cases) {
    const auto spec = Read(body);
    ASSERT_TRUE(spec.ok()) << body << spec.status();
    ASSERT_TRUE(spec->has_value()) << body;
    EXPECT_EQ((*spec)->kind, kind) << body;
  }
  for (const char* body :
       {"{}", R"({"response_format":{"type":"text"}})", R"({"response_format":null,"guided_json":null})"}) {
    const auto spec = Read(body);
    ASSERT_TRUE(spec.ok()) << body;
    EXPECT_FALSE(spec->has_value()) << body;
  }
}

TEST(ReadStructuredOutputTest, WrongFieldsAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"response_format":{"type":"json_schema"}})", "response_format"},
      {R"({"response_format":{"type":"json_schema","json_schema":{"name":"x"}}})", "response_format"},
      {R"({"response_format":{"type":"xml"}})", "response_format"},
      {R"({"response_format":{}})", "response_format"},
      {R"({"response_format":"json"})", "response_format"},
      {R"({"structured_outputs":{}})", "structured_outputs"},
      {R"({"structured_outputs":{"regex":"a","choice":["b"]}})", "structured_outputs"},
      {R"({"structured_outputs":{"structural_tag":{}}})", "structured_outputs"},
      {R"({"guided_json":5})", "guided_json"},
      {R"({"guided_regex":""})", "guided_regex"},
      {R"({"guided_choice":[]})", "guided_choice"},
      {R"({"guided_choice":["a",""]})", "guided_choice"},
      {R"({"guided_grammar":["root"]})", "guided_grammar"},
      {R"({"guided_regex":"a","guided_choice":["a"]})", "guided_choice"},
      {R"({"guided_regex":"a","response_format":{"type":"json_object"}})", "guided_regex"},
  };
  for (const auto& [body, field] : cases) {
    const auto spec = Read(body);
    EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument) << body;
    EXPECT_EQ(ApiParam(spec.status()), field) << body;
  }
}

TEST(CompileGrammarTest, ErrorsCarryTheField) {
  const auto grammar = CompileGrammar({Kind::kJsonSchema, Json::parse(R"({"not":{}})"), "response_format"});
  EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ApiParam(grammar.status()), "response_format");
  EXPECT_NE(grammar.status().message().find("#/not"), absl::string_view::npos);
  const auto large = CompileGrammar({Kind::kRegex, std::string(3 << 20, 'a'), "guided_regex"});
  EXPECT_EQ(ApiParam(large.status()), "guided_regex");
}

TEST_F(StructuredOutputTest, AChoiceTokenByToken) {
  const auto constraint = Begin(Kind::kChoice, {"no", "not", "yes"});
  EXPECT_EQ(Next(*constraint), "ny");
  ASSERT_TRUE(constraint->Accept('n').ok());
  EXPECT_EQ(Next(*constraint), "o");
  EXPECT_EQ(constraint->Accept('x').code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(constraint->Accept(ByteCodec::kEnd).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(constraint->Accept('o').ok());
  EXPECT_EQ(Next(*constraint), "t$");
  const auto other = constraint->Clone();
  ASSERT_TRUE(constraint->Accept('t').ok());
  EXPECT_EQ(Next(*constraint), "$");
  EXPECT_TRUE(constraint->Accept(ByteCodec::kEnd).ok());
  EXPECT_EQ(Next(*other), "t$");
}

TEST_F(StructuredOutputTest, SpecialTokensAreNoText) {
  const auto constraint = Begin(Kind::kRegex, "[^?]*");
  EXPECT_EQ(Next(*constraint).find('?'), std::string::npos);
  EXPECT_EQ(constraint->Accept(ByteCodec::kBegin).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(StructuredOutputTest, ComposedGrammars) {
  const Json schema = Json::parse(R"({"type":"integer","minimum":7,"maximum":7})");
  const auto constraint = service_.Constrain(
      "call 7", [&](grammar::GrammarBuilder& builder, grammar::JsonText& text) -> absl::StatusOr<grammar::Expression> {
        auto value = grammar::JsonSchema(schema, builder, text);
        if (!value.ok()) return value.status();
        return grammar::Expression::Sequence(
            {grammar::Expression::Literal("<"), *value, grammar::Expression::Literal(">")});
      });
  ASSERT_TRUE(constraint.ok()) << constraint.status();
  const auto state = (*constraint)->Clone();
  for (const char c : {'<', '7', '>'}) {
    EXPECT_EQ(Next(*state), std::string(1, c));
    ASSERT_TRUE(state->Accept(c).ok());
  }
  EXPECT_EQ(Next(*state), "$");
}

TEST_F(StructuredOutputTest, ConstraintsOutliveTheirPlaceInTheCacheAndTheService) {
  std::unique_ptr<TokenConstraint> constraint;
  {
    StructuredOutput service(&codec_, ByteCodec::kVocabSize, {.max_grammars = 1, .end_tokens = {ByteCodec::kEnd}});
    constraint = (*service.Constrain({Kind::kChoice, {"a"}, ""}))->Clone();
    ASSERT_TRUE(service.Constrain({Kind::kChoice, {"b"}, ""}).ok());
  }
  EXPECT_EQ(Next(*constraint), "a");
}

TEST_F(StructuredOutputTest, ThreadsShareIt) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      for (int round = 0; round < 50; ++round) {
        const std::string choice(1, static_cast<char>('a' + (round + i) % 5));
        EXPECT_EQ(Next(*Begin(Kind::kChoice, Json::array({choice}))), choice);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace tandem::router
