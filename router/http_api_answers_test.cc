#include "router/testing/http_api_fixture.h"

namespace tandem::router {
namespace {

using http::Post;
using http::RawClient;

// What responses tell: several answers, log probabilities, the prompt.
class HttpApiAnswersTest : public HttpApiTest {
 protected:
  void Send(absl::string_view path, absl::string_view body) { client_.emplace(server_->port()).Send(Post(path, body)); }
  void SendChat(absl::string_view fields) {
    Send("/v1/chat/completions", absl::StrCat(R"({"messages":[{"role":"user","content":"hi"}],)", fields, "}"));
    engine_.AwaitSubmitted(1);
  }
  void SendText(absl::string_view fields) {
    Send("/v1/completions", absl::StrCat(R"({"prompt":[97,98],)", fields, "}"));
    engine_.AwaitSubmitted(1);
  }
  Json Answer() { return Body(client_->ReadResponse()); }
  std::vector<Json> Chunks() {
    std::vector<Json> chunks;
    for (const std::string& event : Events(*client_)) {
      if (event != "[DONE]") chunks.push_back(Json::parse(event));
    }
    return chunks;
  }
  void End(absl::string_view text, int32_t choice = 0) {
    engine_.Emit(1, text, choice);
    engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd, absl::OkStatus(), choice);
  }

  std::optional<RawClient> client_;
};

TEST_F(HttpApiAnswersTest, SeveralAnswersAreNumbered) {
  SendChat(R"("n":3,"stop":"!")");
  engine_.Emit(1, "two!", 1);
  engine_.AwaitChoiceCancelled(1, 1);
  EXPECT_FALSE(engine_.IsCancelled(1, 0));
  End("three", 2);
  End("one", 0);
  const Json body = Answer();
  ASSERT_EQ(body["choices"].size(), 3u);
  const char* texts[] = {"one", "two", "three"};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(body["choices"][i]["index"], i);
    EXPECT_EQ(body["choices"][i]["message"]["content"], texts[i]);
  }
  EXPECT_EQ(body["choices"][1]["stop_reason"], "!");
  EXPECT_EQ(body["usage"]["prompt_tokens"], engine_.AwaitSubmitted(1).prompt.size()) << "counted once";
  EXPECT_EQ(body["usage"]["completion_tokens"], 4 + 4 + 6);
}

TEST_F(HttpApiAnswersTest, SeveralAnswersOfSeveralPromptsAreNumberedByPrompt) {
  Send("/v1/completions", R"({"prompt":["a","b"],"n":2})");
  for (int id : {2, 1}) {
    engine_.AwaitSubmitted(id);
    for (int choice : {1, 0}) {
      engine_.Finish(id, FinishReason::kLength, '0' + 2 * (id - 1) + choice, absl::OkStatus(), choice);
    }
  }
  const Json body = Answer();
  ASSERT_EQ(body["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(body["choices"][i]["text"], std::to_string(i));
  }
  EXPECT_EQ(body["usage"]["prompt_tokens"], 4) << "two prompts of two tokens";
  EXPECT_EQ(body["usage"]["completion_tokens"], 4);
}

TEST_F(HttpApiAnswersTest, StreamsOfSeveralAnswersCarryTheirIndex) {
  SendChat(R"("n":2,"stream":true,"stream_options":{"include_usage":true})");
  engine_.Emit(1, "a", 0);
  engine_.Emit(1, "b", 1);
  End("c", 1);
  End("d", 0);
  std::string texts[2];
  int finished[2] = {0, 0};
  const std::vector<Json> chunks = Chunks();
  for (const Json& chunk : chunks) {
    if (chunk["choices"].empty()) continue;
    const Json& choice = chunk["choices"][0];
    texts[choice["index"].get<int>()] += choice["delta"].value("content", "");
    finished[choice["index"].get<int>()] += !choice["finish_reason"].is_null();
  }
  EXPECT_EQ(texts[0], "ad");
  EXPECT_EQ(texts[1], "bc");
  EXPECT_EQ(finished[0], 1);
  EXPECT_EQ(finished[1], 1);
  EXPECT_EQ(chunks.back()["usage"]["completion_tokens"], 6);
}

TEST_F(HttpApiAnswersTest, AnErrorInOneAnswerEndsTheOthers) {
  SendChat(R"("n":2)");
  engine_.Finish(1, FinishReason::kError, std::nullopt, absl::DeadlineExceededError("too late"), 1);
  const std::string response = client_->ReadResponse();
  EXPECT_THAT(response, testing::StartsWith("HTTP/1.1 504"));
  EXPECT_EQ(Body(response)["error"]["type"], "timeout_error");
  engine_.AwaitChoiceCancelled(1, 0);
}

TEST_F(HttpApiAnswersTest, DisconnectCancelsAllAnswers) {
  SendChat(R"("n":5,"stream":true)");
  client_->Close();
  engine_.AwaitCancelled(1);
}

TEST_F(HttpApiAnswersTest, ChatLogprobs) {
  SendChat(R"("logprobs":true,"top_logprobs":2)");
  End("\xc3\xa9");
  const Json items = Answer()["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(items.size(), 3u) << "one for each generated token, the end token included";
  EXPECT_EQ(items[0]["token"], "\xef\xbf\xbd");
  EXPECT_EQ(items[0]["bytes"], Json({0xc3}));
  EXPECT_FLOAT_EQ(items[0]["logprob"], -0.5f);
  EXPECT_EQ(items[1]["bytes"], Json({0xa9}));
  EXPECT_EQ(items[2]["token"], "<|end|>");
  ASSERT_EQ(items[0]["top_logprobs"].size(), 2u);
  EXPECT_EQ(items[0]["top_logprobs"][0]["token"], "e");
  EXPECT_FLOAT_EQ(items[0]["top_logprobs"][0]["logprob"], -0.25f);
}

TEST_F(HttpApiAnswersTest, ChatLogprobsWithoutMostLikelyOnesAndWithoutAny) {
  SendChat(R"("logprobs":true)");
  End("a");
  EXPECT_EQ(Answer()["choices"][0]["logprobs"]["content"][0]["top_logprobs"], Json::array());
  Send("/v1/completions", R"({"prompt":"x"})");
  engine_.AwaitSubmitted(2);
  engine_.Finish(2, FinishReason::kLength, 'x');
  EXPECT_TRUE(Answer()["choices"][0]["logprobs"].is_null());
}

TEST_F(HttpApiAnswersTest, StreamedLogprobsAreNeitherLostNorRepeated) {
  SendChat(R"("logprobs":true,"stream":true,"stop":"END")");
  for (const char* piece : {"a", "\xc3", "\xa9", "E", "N", "x", "E", "N", "D"}) {
    engine_.Emit(1, piece);
  }
  std::string text;
  std::string bytes;
  for (const Json& chunk : Chunks()) {
    const Json& choice = chunk["choices"][0];
    text += choice["delta"].value("content", "");
    if (choice["logprobs"].is_null()) continue;
    for (const Json& item : choice["logprobs"]["content"])
      bytes.push_back(static_cast<char>(item["bytes"][0].get<int>()));
  }
  EXPECT_EQ(text,
            "a\xc3\xa9"
            "ENx");
  EXPECT_EQ(bytes,
            "a\xc3\xa9"
            "ENxEND");
}

TEST_F(HttpApiAnswersTest, TextLogprobs) {
  SendText(R"("logprobs":1)");
  End("\xc3\xa9x");
  const Json logprobs = Answer()["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json({"\xef\xbf\xbd", "\xef\xbf\xbd", "x", "<|end|>"}));
  EXPECT_EQ(logprobs["text_offset"], Json({0, 0, 1, 2})) << "in characters";
  EXPECT_FLOAT_EQ(logprobs["token_logprobs"][2], -0.5f);
  EXPECT_EQ(logprobs["top_logprobs"][2], Json({{"e", -0.25f}, {"x", -0.5f}})) << "the chosen one is always there";
}

TEST_F(HttpApiAnswersTest, StreamedTextLogprobsGoOnCounting) {
  SendText(R"("logprobs":0,"stream":true)");
  engine_.Emit(1, "ab");
  End("c");
  std::vector<int> offsets;
  for (const Json& chunk : Chunks()) {
    const Json& logprobs = chunk["choices"][0]["logprobs"];
    if (logprobs.is_null()) continue;
    for (const Json& offset : logprobs["text_offset"]) offsets.push_back(offset);
  }
  EXPECT_THAT(offsets, testing::ElementsAre(0, 1, 2, 3));
}

TEST_F(HttpApiAnswersTest, EchoPutsThePromptBeforeEveryAnswer) {
  Send("/v1/completions", R"({"prompt":"ask ","echo":true,"n":2})");
  engine_.AwaitSubmitted(1);
  End("x", 0);
  End("y", 1);
  const Json body = Answer();
  EXPECT_EQ(body["choices"][0]["text"], "ask x");
  EXPECT_EQ(body["choices"][1]["text"], "ask y");
}

TEST_F(HttpApiAnswersTest, EchoWithLogprobsTellsThoseOfThePrompt) {
  SendText(R"("echo":true,"logprobs":1)");
  EXPECT_EQ(engine_.AwaitSubmitted(1).sampling.prompt_logprobs, 1);
  End("c");
  const Json choice = Answer()["choices"][0];
  EXPECT_EQ(choice["text"], "abc");
  const Json& logprobs = choice["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json({"a", "b", "c", "<|end|>"}));
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null()) << "nothing stands before the first token";
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_FLOAT_EQ(logprobs["token_logprobs"][1], -0.5f);
  EXPECT_EQ(logprobs["text_offset"], Json({0, 1, 2, 3}));
}

TEST_F(HttpApiAnswersTest, EchoOfThePromptAlone) {
  SendText(R"("echo":true,"logprobs":0,"max_tokens":0)");
  EXPECT_EQ(engine_.AwaitSubmitted(1).sampling.max_tokens, 1) << "the engine makes at least one";
  engine_.Finish(1, FinishReason::kLength, 'x');
  const Json body = Answer();
  EXPECT_EQ(body["choices"][0]["text"], "ab");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["choices"][0]["logprobs"]["tokens"], Json({"a", "b"}));
  EXPECT_EQ(body["usage"]["completion_tokens"], 0);
}

TEST_F(HttpApiAnswersTest, PromptLogprobs) {
  SendChat(R"("prompt_logprobs":1)");
  End("x");
  const Json list = Answer()["prompt_logprobs"];
  ASSERT_EQ(list.size(), engine_.AwaitSubmitted(1).prompt.size());
  EXPECT_TRUE(list[0].is_null());
  EXPECT_EQ(list[1]["115"], Json({{"logprob", -0.5f}, {"rank", 2}, {"decoded_token", "s"}}));
  EXPECT_EQ(list[1]["101"]["rank"], 1);
}

TEST_F(HttpApiAnswersTest, TokenIdsOnRequest) {
  SendText(R"("return_token_ids":true,"return_tokens_as_token_ids":true,"logprobs":0,"prompt_logprobs":0)");
  End("x");
  const Json choice = Answer()["choices"][0];
  EXPECT_EQ(choice["prompt_token_ids"], Json({97, 98}));
  EXPECT_EQ(choice["token_ids"], Json({'x', 257}));
  EXPECT_EQ(choice["logprobs"]["tokens"][0], "token_id:120");
  EXPECT_EQ(choice["prompt_logprobs"][1].size(), 1u);
}

TEST_F(HttpApiAnswersTest, StreamedTokenIds) {
  SendChat(R"("return_token_ids":true,"stream":true)");
  End("xy");
  std::vector<int> ids;
  const std::vector<Json> chunks = Chunks();
  EXPECT_EQ(chunks[0]["prompt_token_ids"], Json(engine_.AwaitSubmitted(1).prompt));
  for (const Json& chunk : chunks) {
    for (const Json& id : chunk["choices"][0].value("token_ids", Json::array())) ids.push_back(id);
  }
  EXPECT_THAT(ids, testing::ElementsAre('x', 'y', 257));
}

}  // namespace
}  // namespace tandem::router
