#include "router/testing/http_api_fixture.h"

namespace tandem::router {
namespace {

using http::Post;
using http::RawClient;
using testing::ElementsAre;

// What the fields of a request may be, and how a wrong one is refused.
using HttpApiFieldsTest = HttpApiTest;

TEST_F(HttpApiFieldsTest, SamplingFieldsReachTheEngine) {
  RawClient client(server_->port());
  client.Send(Post("/v1/chat/completions",
                   R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
    "temperature":0,"top_p":0.9,"top_k":-1,"min_p":0.1,"seed":-5,
    "max_completion_tokens":7,"max_tokens":9,"min_tokens":2,
    "ignore_eos":true,"stop_token_ids":[1,2],"user":"me","brand_new_field":1,"n":1,"presence_penalty":0,"logit_bias":{},
    "response_format":{"type":"text"},"tool_choice":"none","reasoning_effort":"high","logprobs":false,"stop":null})"));
  const GenerationRequest request = engine_.AwaitSubmitted(1);
  EXPECT_EQ(codec_.Decode(request.prompt, false), "user: a\nb<|end|>(thinking)assistant: ");
  EXPECT_EQ(request.sampling.temperature, 0);
  EXPECT_FLOAT_EQ(request.sampling.top_p, 0.9f);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_FLOAT_EQ(request.sampling.min_p, 0.1f);
  EXPECT_EQ(request.sampling.seed, static_cast<uint64_t>(-5));
  EXPECT_EQ(request.sampling.max_tokens, 7);
  EXPECT_EQ(request.sampling.min_tokens, 2);
  EXPECT_TRUE(request.sampling.ignore_eos);
  EXPECT_THAT(request.sampling.stop_token_ids, ElementsAre(1, 2));
}

TEST_F(HttpApiFieldsTest, WrongFieldsAreNamed) {
  EXPECT_EQ(ChatError(R"("temperature":"hot")"), "400 invalid_value temperature");
  EXPECT_EQ(ChatError(R"("temperature":2.1)"), "400 invalid_value temperature");
  EXPECT_EQ(ChatError(R"("temperature":-1)"), "400 invalid_value temperature");
  EXPECT_EQ(ChatError(R"("top_p":0)"), "400 invalid_value top_p");
  EXPECT_EQ(ChatError(R"("top_k":1.5)"), "400 invalid_value top_k");
  EXPECT_EQ(ChatError(R"("max_tokens":0)"), "400 invalid_value max_tokens");
  EXPECT_EQ(ChatError(R"("max_tokens":99999999999999999999)"), "400 invalid_value max_tokens");
  EXPECT_EQ(ChatError(R"("seed":true)"), "400 invalid_value seed");
  EXPECT_EQ(ChatError(R"("stream":"yes")"), "400 invalid_value stream");
  EXPECT_EQ(ChatError(R"("stop":[1])"), "400 invalid_value stop");
  EXPECT_EQ(ChatError(R"("stop":"")"), "400 invalid_value stop");
  EXPECT_EQ(ChatError(R"("stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])"),
            "400 invalid_value stop");
  EXPECT_EQ(ChatError(R"("stop_token_ids":[258])"), "400 invalid_value stop_token_ids");
  EXPECT_EQ(ChatError(R"("stop_token_ids":[-1])"), "400 invalid_value stop_token_ids");
  EXPECT_EQ(ChatError(R"("stop_token_ids":[1.5])"), "400 invalid_value stop_token_ids");
  EXPECT_EQ(ChatError(R"("stream_options":{"include_usage":true})"), "400 invalid_value stream_options");
  EXPECT_EQ(ChatError(R"("stream":true,"stream_options":{"include_usage":1})"),
            "400 invalid_value stream_options.include_usage");
  EXPECT_EQ(ChatError(R"("min_tokens":5,"max_tokens":4)"), "400 invalid_value min_tokens");
  EXPECT_EQ(ChatError(R"("continue_final_message":true,"add_generation_prompt":true)"),
            "400 invalid_value continue_final_message");
  EXPECT_EQ(ChatError(R"("reasoning_effort":"extreme")"), "400 invalid_value reasoning_effort");
  EXPECT_EQ(ChatError(R"("chat_template_kwargs":[])"), "400 invalid_value chat_template_kwargs");
  EXPECT_EQ(ChatError(R"("n":0)"), "400 invalid_value n");
  EXPECT_EQ(ChatError(R"("model":"other")"), "404 model_not_found model");
}

TEST_F(HttpApiFieldsTest, FieldsThatChooseTokensReachTheEngine) {
  RawClient client(server_->port());
  client.Send(Post("/v1/chat/completions",
                   R"({"messages":[{"role":"user","content":"a"}],"presence_penalty":-2,"frequency_penalty":0.5,
    "repetition_penalty":1.5,"logit_bias":{"5":-100,"257":2.5},"allowed_token_ids":[5,257],"n":3,"best_of":3,
    "logprobs":true,"top_logprobs":20,"prompt_logprobs":1,"priority":-7,"safety_identifier":"id","user":"me",
    "cache_salt":"salt"})"));
  const GenerationRequest request = engine_.AwaitSubmitted(1);
  EXPECT_FLOAT_EQ(request.sampling.presence_penalty, -2);
  EXPECT_FLOAT_EQ(request.sampling.frequency_penalty, 0.5f);
  EXPECT_FLOAT_EQ(request.sampling.repetition_penalty, 1.5f);
  EXPECT_THAT(request.sampling.logit_bias, ElementsAre(testing::Pair(5, -100), testing::Pair(257, 2.5f)));
  EXPECT_THAT(request.sampling.allowed_token_ids, ElementsAre(5, 257));
  EXPECT_EQ(request.sampling.n, 3);
  EXPECT_EQ(request.sampling.logprobs, 20);
  EXPECT_EQ(request.sampling.prompt_logprobs, 1);
  EXPECT_EQ(request.priority, -7);
  EXPECT_EQ(request.user, "me");
  EXPECT_EQ(request.cache_salt, "salt");
}

TEST_F(HttpApiFieldsTest, TheSafetyIdentifierStandsInForTheUser) {
  RawClient client(server_->port());
  client.Send(Post("/v1/completions", R"({"prompt":"a","safety_identifier":"id"})"));
  EXPECT_EQ(engine_.AwaitSubmitted(1).user, "id");
}

TEST_F(HttpApiFieldsTest, PromptsAreTruncatedFromTheFront) {
  RawClient client(server_->port());
  client.Send(Post("/v1/completions", R"({"prompt":"abcdef","truncate_prompt_tokens":2})"));
  EXPECT_EQ(codec_.Decode(engine_.AwaitSubmitted(1).prompt, false), "ef");
  RawClient other(server_->port());
  other.Send(Post("/v1/completions", absl::StrCat(R"({"prompt":")", std::string(2000, 'x'),
                                                  R"(","truncate_prompt_tokens":-1,"max_tokens":100})")));
  EXPECT_EQ(engine_.AwaitSubmitted(2).prompt.size(), 900u) << "room for the answer is left";
}

TEST_F(HttpApiFieldsTest, WrongChoiceFieldsAreNamed) {
  EXPECT_EQ(ChatError(R"("n":129)"), "400 invalid_value n");
  EXPECT_EQ(ChatError(R"("n":2,"best_of":"x")"), "400 invalid_value best_of");
  EXPECT_EQ(ChatError(R"("n":2,"best_of":3)"), "400 invalid_value best_of");
  EXPECT_EQ(ChatError(R"("presence_penalty":2.1)"), "400 invalid_value presence_penalty");
  EXPECT_EQ(ChatError(R"("frequency_penalty":"x")"), "400 invalid_value frequency_penalty");
  EXPECT_EQ(ChatError(R"("repetition_penalty":0)"), "400 invalid_value repetition_penalty");
  EXPECT_EQ(ChatError(R"("logit_bias":[])"), "400 invalid_value logit_bias");
  EXPECT_EQ(ChatError(R"("logit_bias":{"258":1})"), "400 invalid_value logit_bias");
  EXPECT_EQ(ChatError(R"("logit_bias":{"x":1})"), "400 invalid_value logit_bias");
  EXPECT_EQ(ChatError(R"("logit_bias":{"5":101})"), "400 invalid_value logit_bias.5");
  EXPECT_EQ(ChatError(R"("logit_bias":{"5":null})"), "400 invalid_value logit_bias.5");
  EXPECT_EQ(ChatError(R"("allowed_token_ids":[])"), "400 invalid_value allowed_token_ids");
  EXPECT_EQ(ChatError(R"("allowed_token_ids":[258])"), "400 invalid_value allowed_token_ids");
  EXPECT_EQ(ChatError(R"("logprobs":3)"), "400 invalid_value logprobs");
  EXPECT_EQ(ChatError(R"("top_logprobs":2)"), "400 invalid_value top_logprobs");
  EXPECT_EQ(ChatError(R"("logprobs":true,"top_logprobs":21)"), "400 invalid_value top_logprobs");
  EXPECT_EQ(ChatError(R"("prompt_logprobs":21)"), "400 invalid_value prompt_logprobs");
  EXPECT_EQ(ChatError(R"("prompt_logprobs":0,"stream":true)"), "400 invalid_value prompt_logprobs");
  EXPECT_EQ(ChatError(R"("priority":1.5)"), "400 invalid_value priority");
  EXPECT_EQ(ChatError(R"("user":7)"), "400 invalid_value user");
  EXPECT_EQ(ChatError(R"("cache_salt":"")"), "400 invalid_value cache_salt");
  EXPECT_EQ(ChatError(absl::StrCat(R"("cache_salt":")", std::string(129, 'x'), "\"")), "400 invalid_value cache_salt");
  EXPECT_EQ(ChatError(R"("truncate_prompt_tokens":0)"), "400 invalid_value truncate_prompt_tokens");
  EXPECT_EQ(ChatError(R"("return_token_ids":1)"), "400 invalid_value return_token_ids");
}

TEST_F(HttpApiFieldsTest, WrongTextFieldsAreNamed) {
  const auto error = [this](absl::string_view fields) {
    return ErrorOf("/v1/completions", absl::StrCat(R"({"prompt":"x",)", fields, "}"));
  };
  EXPECT_EQ(error(R"("logprobs":6)"), "400 invalid_value logprobs");
  EXPECT_EQ(error(R"("logprobs":true)"), "400 invalid_value logprobs");
  EXPECT_EQ(error(R"("echo":true,"stream":true)"), "400 invalid_value echo");
  EXPECT_EQ(error(R"("max_tokens":0)"), "400 invalid_value max_tokens");
  EXPECT_EQ(error(R"("suffix":"x")"), "501 unsupported_parameter suffix");
  EXPECT_EQ(ErrorOf("/v1/completions", R"({"prompt":["a","a","a","a","a","a","a","a","a"],"n":128})"),
            "400 invalid_value n");
}

TEST_F(HttpApiFieldsTest, UnsupportedFieldsAreRefusedByName) {
  for (const char* field :
       {R"("echo":true)", R"("bad_words":["x"])"}) {
    const std::string name(field + 1, strchr(field + 1, '"'));
    EXPECT_EQ(ChatError(field), absl::StrCat("501 unsupported_parameter ", name));
  }
  EXPECT_EQ(ChatError(R"("chat_template":"x")"), "403 forbidden_parameter chat_template");
}

TEST_F(HttpApiFieldsTest, WrongMessagesAreNamed) {
  const auto error = [this](absl::string_view messages) {
    return ErrorOf("/v1/chat/completions", absl::StrCat(R"({"messages":)", messages, "}"));
  };
  EXPECT_EQ(error("[]"), "400 invalid_value messages");
  EXPECT_EQ(error("\"hi\""), "400 invalid_value messages");
  EXPECT_EQ(error("null"), "400 invalid_value messages");
  EXPECT_EQ(error("[1]"), "400 invalid_value messages[0]");
  EXPECT_EQ(error(R"([{"content":"x"}])"), "400 invalid_value messages[0].role");
  EXPECT_EQ(error(R"([{"role":"king","content":"x"}])"), "400 invalid_value messages[0].role");
  EXPECT_EQ(error(R"([{"role":"user"}])"), "400 invalid_value messages[0].content");
  EXPECT_EQ(error(R"([{"role":"user","content":5}])"), "400 invalid_value messages[0].content");
  EXPECT_EQ(error(R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])"),
            "400 invalid_value messages[0].content[0]");
  EXPECT_EQ(error(R"([{"role":"assistant","tool_calls":[{}]}])"), "400 invalid_value messages[0].tool_calls");
  EXPECT_EQ(error(R"([{"role":"user","content":"x","name":1}])"), "400 invalid_value messages[0].name");
  EXPECT_EQ(error(R"([{"role":"assistant","content":"x","reasoning":{}}])"), "400 invalid_value messages[0].reasoning");
  EXPECT_EQ(error(R"([{"role":"function","content":""}])"), "400 template_error messages");
  EXPECT_EQ(error(absl::StrCat(R"([{"role":"user","content":")", std::string(1000, 'x'), "\"}]")),
            "400 context_length_exceeded messages");
}

TEST_F(HttpApiFieldsTest, HostileBodies) {
  const auto error = [this](absl::string_view body) { return ErrorOf("/v1/chat/completions", body); };
  EXPECT_EQ(error(""), "400 invalid_json ");
  EXPECT_EQ(error("{"), "400 invalid_json ");
  EXPECT_EQ(error("[]"), "400 invalid_json ");
  EXPECT_EQ(error("nul"), "400 invalid_json ");
  EXPECT_EQ(error(R"({"temperature":NaN})"), "400 invalid_json ");
  EXPECT_EQ(error(R"({"temperature":1e999})"), "400 invalid_json ");
  EXPECT_EQ(error("{\"a\":\"\xff\xfe\"}"), "400 invalid_json ");
  EXPECT_EQ(error("{\"a\":\"\xc3\"}"), "400 invalid_json ");
  EXPECT_EQ(error(R"({"a":"\ud800"})"), "400 invalid_json ");
  EXPECT_EQ(error(std::string(500000, '[')), "400 invalid_json ");
  EXPECT_EQ(error("{\"a\":" + std::string(200, '[') + std::string(200, ']') + "}"), "400 invalid_json ");
  std::string wide = "{";
  for (int i = 0; i < 50000; ++i) absl::StrAppend(&wide, "\"k", i, "\":1,");
  EXPECT_EQ(error(wide + "\"z\":1}"), "400 invalid_json ");
  EXPECT_EQ(error(std::string(2 << 20, 'x')), "413 request_too_large ");
}

}  // namespace
}  // namespace tandem::router
