// Tool calls and reasoning over HTTP.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "router/api_error.h"
#include "router/testing/http_api_fixture.h"

namespace tandem::router {
namespace {

using http::Post;
using http::RawClient;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr char kTools[] =
    R"("tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}])";
constexpr char kAnswer[] =
    "<think>Hm.</think>Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n"
    "</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>";

class HttpApiToolsTest : public HttpApiTest {
 protected:
  static std::string Chat(absl::string_view fields) {
    return absl::Substitute(R"({"messages":[{"role":"user","content":"hi"}],$0})", fields);
  }

  // The answer to a request, when the model writes `text`.
  Json Answer(absl::string_view fields, absl::string_view text, FinishReason reason = FinishReason::kStop) {
    RawClient client(server_->port());
    client.Send(Post("/v1/chat/completions", Chat(fields)));
    const uint64_t id = ++requests_;
    engine_.AwaitSubmitted(id);
    engine_.Emit(id, text);
    engine_.Finish(id, reason, ByteCodec::kEnd);
    return Body(client.ReadResponse());
  }

  // The deltas of a stream.
  std::vector<Json> Stream(absl::string_view fields, absl::string_view text, std::string* finish_reason) {
    RawClient client(server_->port());
    client.Send(Post("/v1/chat/completions", Chat(absl::StrCat(fields, R"(,"stream":true)"))));
    const uint64_t id = ++requests_;
    engine_.AwaitSubmitted(id);
    engine_.Emit(id, text);
    engine_.Finish(id, FinishReason::kStop, ByteCodec::kEnd);
    std::vector<Json> deltas;
    for (const std::string& event : Events(client)) {
      if (event == "[DONE]") break;
      const Json choice = Json::parse(event)["choices"][0];
      deltas.push_back(choice["delta"]);
      if (!choice["finish_reason"].is_null()) *finish_reason = choice["finish_reason"];
    }
    return deltas;
  }

  uint64_t requests_ = 0;
};

TEST_F(HttpApiToolsTest, AnswersWithToolCalls) {
  const Json body = Answer(kTools, kAnswer);
  const Json& message = body["choices"][0]["message"];
  EXPECT_EQ(message["content"], "Let me see.");
  EXPECT_EQ(message["reasoning_content"], "Hm.");
  EXPECT_FALSE(message.contains("reasoning"));
  ASSERT_EQ(message["tool_calls"].size(), 2u);
  const Json& call = message["tool_calls"][0];
  EXPECT_EQ(call["type"], "function");
  EXPECT_THAT(call["id"].get<std::string>(), MatchesRegex("call_[0-9A-Za-z]+"));
  EXPECT_EQ(call["function"], Json::parse(R"({"name":"weather","arguments":"{\"city\": \"Oslo\"}"})"));
  EXPECT_NE(message["tool_calls"][1]["id"], call["id"]);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_EQ(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 3 + 7) << "a closing tag is several tokens";
}

TEST_F(HttpApiToolsTest, ContentIsNullWhenThereAreOnlyCalls) {
  const Json body = Answer(kTools, R"(<tool_call>{"name":"weather","arguments":{}}</tool_call>)");
  EXPECT_TRUE(body["choices"][0]["message"]["content"].is_null());
}

TEST_F(HttpApiToolsTest, ACallThatWasCutOffFinishesWithLength) {
  const Json body = Answer(kTools, R"(<tool_call>{"name":"weather","arguments":{"ci)", FinishReason::kLength);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{\"ci");
}

TEST_F(HttpApiToolsTest, StreamsCallsInPieces) {
  std::string finish_reason;
  std::string content;
  std::string reasoning;
  std::vector<std::pair<std::string, std::string>> calls;  // id and name, arguments
  for (const Json& delta : Stream(kTools, kAnswer, &finish_reason)) {
    EXPECT_LE(delta.contains("content") + delta.contains("reasoning_content") + delta.contains("tool_calls"), 1);
    content += delta.value("content", "");
    reasoning += delta.value("reasoning_content", "");
    for (const Json& call : delta.value("tool_calls", Json::array())) {
      if (call.contains("id")) {
        EXPECT_EQ(call["index"], calls.size());
        EXPECT_EQ(call["function"]["arguments"], "");
        calls.emplace_back(call["function"]["name"], "");
      } else {
        ASSERT_EQ(call["index"], calls.size() - 1);
        EXPECT_FALSE(call["function"].contains("name"));
        calls.back().second += call["function"]["arguments"];
      }
    }
  }
  EXPECT_EQ(content, "Let me see.");
  EXPECT_EQ(reasoning, "Hm.");
  EXPECT_EQ(calls,
            (std::vector<std::pair<std::string, std::string>>{{"weather", R"({"city": "Oslo"})"}, {"weather", "{}"}}));
  EXPECT_EQ(finish_reason, "tool_calls");
}

TEST_F(HttpApiToolsTest, WithoutToolsNothingIsACall) {
  const std::string call = R"(<tool_call>{"name":"weather","arguments":{}}</tool_call>)";
  for (const std::string& fields : {std::string(R"("n":1)"), absl::StrCat(kTools, R"(,"tool_choice":"none")")}) {
    const Json body = Answer(fields, call);
    EXPECT_EQ(body["choices"][0]["message"]["content"], call);
    EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  }
}

TEST_F(HttpApiToolsTest, TheTemplateGetsTheTools) {
  Answer(kTools, "");
  EXPECT_THAT(codec_.Decode(engine_.AwaitSubmitted(1).prompt, false), HasSubstr("tool weather<|end|>user: hi"));
  Answer(absl::StrCat(kTools, R"(,"tool_choice":"none")"), "");
  EXPECT_THAT(codec_.Decode(engine_.AwaitSubmitted(2).prompt, false), Not(HasSubstr("tool weather")));
}

TEST_F(HttpApiToolsTest, OnlyOneCallWhereMoreAreNotWelcome) {
  const Json body = Answer(absl::StrCat(kTools, R"(,"parallel_tool_calls":false)"), kAnswer);
  EXPECT_EQ(body["choices"][0]["message"]["tool_calls"].size(), 1u);
}

TEST_F(HttpApiToolsTest, ReasoningMayBeLeftOut) {
  const Json body = Answer(R"("include_reasoning":false)", "<think>Hm.</think>Yes.");
  EXPECT_EQ(body["choices"][0]["message"], Json::parse(R"({"role":"assistant","content":"Yes.","refusal":null})"));
  EXPECT_GT(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 0);
}

TEST_F(HttpApiToolsTest, ReasoningThatBeginsInThePrompt) {
  const Json body = Answer(R"("chat_template_kwargs":{"open_reasoning":true})", "Hm.</think>Yes.");
  EXPECT_EQ(body["choices"][0]["message"]["reasoning_content"], "Hm.");
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Yes.");
}

TEST_F(HttpApiToolsTest, ReasoningHasTheNamesAskedFor) {
  reasoning_field_ = ReasoningField::kBoth;
  Start({});
  const Json message = Answer(R"("n":1)", "<think>Hm.</think>Yes.")["choices"][0]["message"];
  EXPECT_EQ(message["reasoning"], "Hm.");
  EXPECT_EQ(message["reasoning_content"], "Hm.");
}

TEST_F(HttpApiToolsTest, EachAnswerIsTakenApartByItself) {
  RawClient client(server_->port());
  client.Send(Post("/v1/chat/completions", Chat(absl::StrCat(kTools, R"(,"n":2)"))));
  engine_.AwaitSubmitted(1);
  engine_.Emit(1, "plain", 1);
  engine_.Emit(1, R"(<tool_call>{"name":"weather","arguments":{}}</tool_call>)", 0);
  for (const int32_t choice : {0, 1}) {
    engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd, absl::OkStatus(), choice);
  }
  const Json choices = Body(client.ReadResponse())["choices"];
  EXPECT_EQ(choices[0]["finish_reason"], "tool_calls");
  EXPECT_EQ(choices[1]["message"]["content"], "plain");
  EXPECT_EQ(choices[1]["finish_reason"], "stop");
}

TEST_F(HttpApiToolsTest, WithoutAParserThereAreNoTools) {
  formats_ = {};
  Start({});
  EXPECT_EQ(ChatError(kTools), "501 unsupported_parameter tools");
  EXPECT_EQ(Answer(absl::StrCat(kTools, R"(,"tool_choice":"none")"), "<think>x")["choices"][0]["message"]["content"],
            "<think>x");
}

// Whether the constraint lets the whole text through, and the answer end there.
bool Allows(const TokenConstraint* constraint, absl::string_view text) {
  if (constraint == nullptr) return true;
  const std::unique_ptr<TokenConstraint> progress = constraint->Clone();
  for (char c : text) {
    if (!progress->Accept(static_cast<unsigned char>(c)).ok()) return false;
  }
  return progress->Accept(ByteCodec::kEnd).ok();
}

TEST_F(HttpApiToolsTest, CallsCanBeForced) {
  formats_.tools = ToolFormat::kGlm45;
  Start({});
  const std::string tools =
      R"("tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}],)";
  const std::string a = "<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>";
  const std::string b = "<tool_call>\n{\"name\": \"b\", \"arguments\": {}}\n</tool_call>";
  const auto constraint = [&](absl::string_view fields) {
    const Json body = Answer(tools + std::string(fields), b);
    EXPECT_EQ(body["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "b") << "read in the forced format";
    return engine_.AwaitSubmitted(requests_).constraint;
  };
  const auto required = constraint(R"("tool_choice":"required")");
  ASSERT_NE(required, nullptr);
  EXPECT_TRUE(Allows(required.get(), a));
  EXPECT_TRUE(Allows(required.get(), a + "\n" + b));
  EXPECT_TRUE(Allows(required.get(), "<think>hm</think>\n\n" + b));
  EXPECT_FALSE(Allows(required.get(), ""));
  EXPECT_FALSE(Allows(required.get(), "hm"));
  const auto one = constraint(R"("tool_choice":"required","parallel_tool_calls":false)");
  EXPECT_TRUE(Allows(one.get(), a));
  EXPECT_FALSE(Allows(one.get(), a + "\n" + b));
  const auto named = constraint(R"("tool_choice":{"type":"function","function":{"name":"b"}})");
  EXPECT_TRUE(Allows(named.get(), b));
  EXPECT_FALSE(Allows(named.get(), a));
}

TEST_F(HttpApiToolsTest, ForcedCallsWaitForTheEndOfReasoning) {
  Answer(absl::StrCat(kTools, R"(,"tool_choice":"required","chat_template_kwargs":{"open_reasoning":true})"), "x");
  const auto constraint = engine_.AwaitSubmitted(1).constraint;
  const std::string call = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>";
  EXPECT_TRUE(Allows(constraint.get(), "hm</think>" + call));
  EXPECT_FALSE(Allows(constraint.get(), call));
}

TEST_F(HttpApiToolsTest, StructuredOutputWaitsForTheEndOfReasoning) {
  const std::string format = R"("response_format":{"type":"json_object"})";
  Answer(format + R"(,"chat_template_kwargs":{"open_reasoning":true})", "x");
  EXPECT_TRUE(Allows(engine_.AwaitSubmitted(1).constraint.get(), "hm</think>\n{}"));
  EXPECT_FALSE(Allows(engine_.AwaitSubmitted(1).constraint.get(), "{}"));
  Answer(format, "x");
  EXPECT_TRUE(Allows(engine_.AwaitSubmitted(2).constraint.get(), "{}"));
  EXPECT_TRUE(Allows(engine_.AwaitSubmitted(2).constraint.get(), "<think>hm</think>{}"));
  EXPECT_FALSE(Allows(engine_.AwaitSubmitted(2).constraint.get(), "hm"));
}

TEST_F(HttpApiToolsTest, WithAutoNothingIsForced) {
  Answer(absl::StrCat(kTools, R"(,"tool_choice":"auto")"), "x");
  EXPECT_EQ(engine_.AwaitSubmitted(1).constraint, nullptr);
}

TEST_F(HttpApiToolsTest, SchemasThatCannotBeForcedAreRefused) {
  EXPECT_EQ(ChatError(R"("tool_choice":"required","tools":[{"type":"function","function":
                         {"name":"f","parameters":{"properties":{"a":{"not":{}}}}}}])"),
            "400 invalid_value tools");
}

TEST_F(HttpApiToolsTest, WrongToolsAreRefused) {
  EXPECT_EQ(ChatError(R"("tools":[])"), "400 invalid_value tools");
  EXPECT_EQ(ChatError(R"("tool_choice":"auto")"), "400 invalid_value tool_choice");
  EXPECT_EQ(ChatError(R"("functions":[{"name":"f"}])"), "400 invalid_value functions");
}

}  // namespace
}  // namespace tandem::router
