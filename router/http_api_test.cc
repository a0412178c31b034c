#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "router/testing/http_api_fixture.h"

namespace tandem::router {
namespace {

using http::Get;
using http::Post;
using http::RawClient;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kChat[] = R"({"model":"tiny","messages":[{"role":"user","content":"hi"}]})";
constexpr char kChatStream[] =
    R"({"messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}})";

TEST_F(HttpApiTest, AnswersAChat) {
  RawClient client(server_->port());
  client.Send(Post("/v1/chat/completions", kChat, "X-Request-Id: r1\r\n"));
  const GenerationRequest request = engine_.AwaitSubmitted(1);
  EXPECT_EQ(codec_.Decode(request.prompt, false), "user: hi<|end|>assistant: ");
  EXPECT_EQ(request.request_id, "r1");
  EXPECT_FLOAT_EQ(request.sampling.temperature, 0.5f) << "the model's default";
  engine_.Emit(1, "hello");
  engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd);
  const std::string response = client.ReadResponse();
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(response, HasSubstr("X-Request-Id: r1\r\n"));
  EXPECT_THAT(response, HasSubstr("Access-Control-Allow-Origin: *\r\n"));
  const Json body = Body(response);
  EXPECT_EQ(body["id"], "chatcmpl-r1");
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["model"], "tiny");
  EXPECT_EQ(body["choices"][0]["message"], Json({{"role", "assistant"}, {"content", "hello"}, {"refusal", nullptr}}));
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["completion_tokens"], 6);
  EXPECT_EQ(body["usage"]["total_tokens"], body["usage"]["prompt_tokens"].get<int>() + 6);
}

TEST_F(HttpApiTest, StreamsChunksInTheExactOrder) {
  RawClient client(server_->port());
  client.Send(Post("/v1/chat/completions", kChatStream));
  engine_.AwaitSubmitted(1);
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Content-Type: text/event-stream; charset=utf-8\r\n"));
  EXPECT_THAT(head, HasSubstr("Cache-Control: no-cache\r\n"));
  EXPECT_THAT(head, HasSubstr("X-Accel-Buffering: no\r\n"));
  EXPECT_THAT(client.ReadUntil("\n\n"), HasSubstr(R"("delta":{"role":"assistant","content":""})"))
      << "before any token";
  engine_.Emit(1, "h");
  EXPECT_THAT(client.ReadUntil("\n\n"), HasSubstr(R"("delta":{"content":"h"})"));
  engine_.Finish(1, FinishReason::kLength, '!');
  const std::vector<std::string> events = Events(client);
  ASSERT_EQ(events.size(), 4u);
  const Json text = Json::parse(events[0]);
  EXPECT_EQ(text["object"], "chat.completion.chunk");
  EXPECT_EQ(text["choices"][0]["delta"]["content"], "!");
  EXPECT_TRUE(text["choices"][0]["finish_reason"].is_null());
  EXPECT_TRUE(text["usage"].is_null() && text.contains("usage"));
  const Json finish = Json::parse(events[1]);
  EXPECT_EQ(finish["choices"][0]["delta"], Json::object());
  EXPECT_EQ(finish["choices"][0]["finish_reason"], "length");
  const Json usage = Json::parse(events[2]);
  EXPECT_EQ(usage["choices"], Json::array());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 2);
  EXPECT_EQ(usage["id"], text["id"]);
  EXPECT_EQ(events[3], "[DONE]");
}

TEST_F(HttpApiTest, ErrorInMidStreamIsAnEvent) {
  RawClient client(server_->port());
  client.Send(Post("/v1/chat/completions", kChatStream));
  engine_.AwaitSubmitted(1);
  engine_.Emit(1, "h");
  engine_.Finish(1, FinishReason::kError, std::nullopt, absl::InternalError("secret address 10.0.0.1"));
  const std::vector<std::string> events = Events(client);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_THAT(events[2], HasSubstr(R"("type":"server_error")"));
  EXPECT_THAT(events[2], testing::Not(HasSubstr("secret")));
  EXPECT_EQ(events[3], "[DONE]");
}

TEST_F(HttpApiTest, ErrorBeforeTheAnswerIsAStatus) {
  RawClient client(server_->port());
  client.Send(Post("/v1/chat/completions", kChat));
  engine_.AwaitSubmitted(1);
  engine_.Finish(1, FinishReason::kError, std::nullopt, absl::UnavailableError("no worker holds expert 3 of layer 1"));
  const std::string response = client.ReadResponse();
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(response, HasSubstr("Retry-After: "));
}

TEST_F(HttpApiTest, DisconnectCancelsTheRequest) {
  for (const char* body : {kChat, kChatStream}) {
    static uint64_t id = 0;
    RawClient client(server_->port());
    client.Send(Post("/v1/chat/completions", body));
    engine_.AwaitSubmitted(++id);
    client.Close();
    engine_.AwaitCancelled(id);
  }
}

TEST_F(HttpApiTest, TextCompletionOfSeveralPrompts) {
  RawClient client(server_->port());
  client.Send(Post("/v1/completions", R"({"prompt":["ab",[99,100]],"max_tokens":5,"stop":"."})"));
  EXPECT_EQ(codec_.Decode(engine_.AwaitSubmitted(1).prompt, false), "<|begin|>ab");
  EXPECT_EQ(codec_.Decode(engine_.AwaitSubmitted(2).prompt, false), "cd");
  engine_.Emit(2, "two.");
  engine_.Emit(1, "one");
  engine_.Finish(1, FinishReason::kLength, 'x');
  const Json body = Body(client.ReadResponse());
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_THAT(body["id"].get<std::string>(), StartsWith("cmpl-"));
  EXPECT_EQ(body["choices"][0]["text"], "onex");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["choices"][1]["text"], "two");
  EXPECT_EQ(body["choices"][1]["stop_reason"], ".");
  EXPECT_EQ(body["usage"]["prompt_tokens"], 5);
  EXPECT_EQ(body["usage"]["completion_tokens"], 8);
}

TEST_F(HttpApiTest, TextStreamHasNoRoleChunk) {
  RawClient client(server_->port());
  client.Send(Post("/v1/completions", R"({"prompt":"ab","stream":true})"));
  EXPECT_EQ(engine_.AwaitSubmitted(1).sampling.max_tokens, 16) << "OpenAI's default";
  engine_.Emit(1, "x");
  engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd);
  const std::vector<std::string> events = Events(client);
  ASSERT_GE(events.size(), 3u);
  EXPECT_EQ(Json::parse(events[0])["choices"][0]["text"], "x");
  EXPECT_EQ(Json::parse(events[events.size() - 2])["choices"][0]["finish_reason"], "stop");
  EXPECT_FALSE(Json::parse(events[0]).contains("usage"));
}

TEST_F(HttpApiTest, OneRefusedPromptCancelsTheOthers) {
  EXPECT_EQ(ErrorOf("/v1/completions", R"({"prompt":["ok",""],"add_special_tokens":false})"),
            "400 invalid_value prompt");
  engine_.AwaitCancelled(1);
}

TEST_F(HttpApiTest, ModelsHealthVersionAndMetrics) {
  const Json models = Body(Ask(Get("/v1/models")));
  EXPECT_EQ(models["object"], "list");
  EXPECT_EQ(models["data"][1]["id"], "alias");
  EXPECT_EQ(models["data"][0]["max_model_len"], 1000);
  EXPECT_EQ(Body(Ask(Get("/v1/models/tiny")))["id"], "tiny");
  EXPECT_THAT(Ask(Get("/v1/models/other/one")), StartsWith("HTTP/1.1 404"));
  EXPECT_EQ(Body(Ask(Get("/version")))["version"], "1.2.3");
  for (const char* path : {"/health", "/ping", "/v1/health", "/health/ready", "/health/live"}) {
    EXPECT_THAT(Ask(Get(path)), StartsWith("HTTP/1.1 200")) << path;
  }
  engine_.SetHealth(absl::UnavailableError("1/2 workers ready"));
  const std::string health = Ask(Get("/health"));
  EXPECT_THAT(health, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(health, HasSubstr("1/2 workers ready"));
  EXPECT_THAT(Ask(Get("/health/live")), StartsWith("HTTP/1.1 200"));
  engine_.SetHealth(absl::OkStatus());
  service_.Drain();
  EXPECT_THAT(Ask(Get("/health/ready")), HasSubstr("draining"));
  const std::string metrics = Ask(Get("/metrics"));
  EXPECT_THAT(metrics,
              HasSubstr("tandem_http_requests_total{code=\"200\",method=\"GET\",route=\"/v1/models/{id*}\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("# HELP tandem_requests_running "));
}

TEST_F(HttpApiTest, TokenizeAndDetokenize) {
  const Json text = Body(Ask(Post("/tokenize", R"({"prompt":"ab"})")));
  EXPECT_EQ(text["tokens"], Json({256, 97, 98}));
  EXPECT_EQ(text["count"], 3);
  EXPECT_EQ(text["max_model_len"], 1000);
  EXPECT_EQ(Body(Ask(Post("/tokenize",
                          R"({"messages":[{"role":"user","content":"x"}],"add_generation_prompt":false})")))["count"],
            8);
  EXPECT_EQ(Body(Ask(Post("/detokenize", R"({"tokens":[256,97,98]})")))["prompt"], "<|begin|>ab");
  EXPECT_EQ(ErrorOf("/detokenize", R"({"tokens":[9999]})"), "400 invalid_value tokens");
  EXPECT_EQ(ErrorOf("/detokenize", "{}"), "400 invalid_value tokens");
  EXPECT_EQ(ErrorOf("/tokenize", "{}"), "400 invalid_value prompt");
}

TEST_F(HttpApiTest, UnknownPathsMethodsAndPreflight) {
  EXPECT_EQ(Body(Ask(Get("/nope")))["error"]["code"], "not_found");
  EXPECT_THAT(Ask(Get("/v1/chat/completions")), HasSubstr("Allow: POST\r\n"));
  const std::string preflight =
      Ask("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: t\r\nOrigin: http://x\r\n"
          "Access-Control-Request-Headers: x-special\r\n\r\n");
  EXPECT_THAT(preflight, StartsWith("HTTP/1.1 204"));
  EXPECT_THAT(preflight, HasSubstr("Access-Control-Allow-Headers: x-special\r\n"));
}

TEST_F(HttpApiTest, KeysAreAskedForOutsideOfHealthAndMetrics) {
  Start({"secret", "other-secret"});
  const std::string denied = Ask(Get("/v1/models"));
  EXPECT_THAT(denied, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(denied, HasSubstr("invalid_api_key"));
  EXPECT_THAT(Ask(Get("/v1/models", "Authorization: Bearer wrong\r\n")), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(Ask(Get("/v1/models", "Authorization: secret\r\n")), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(Ask(Get("/v1/models", "Authorization: Bearer other-secret\r\n")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(Get("/health")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(Get("/metrics")), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpApiTest, QueueFullAndDraining) {
  engine_.RefuseWith(absl::ResourceExhaustedError("64 requests are waiting already"));
  const std::string full = Ask(Post("/v1/chat/completions", kChatStream));
  EXPECT_THAT(full, StartsWith("HTTP/1.1 429"));
  EXPECT_THAT(full, HasSubstr("Retry-After: 1\r\n"));
  service_.Drain();
  EXPECT_EQ(ErrorOf("/v1/chat/completions", kChat), "503 draining ");
}

TEST_F(HttpApiTest, ShutdownFinishesRunningStreams) {
  RawClient client(server_->port());
  client.Send(Post("/v1/chat/completions", kChatStream));
  engine_.AwaitSubmitted(1);
  service_.Drain();
  bool clean = false;
  std::thread stopper([&] { clean = server_->Shutdown(absl::Seconds(20)); });
  engine_.Emit(1, "bye");
  engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd);
  EXPECT_EQ(Events(client).back(), "[DONE]");
  client.Close();
  stopper.join();
  EXPECT_TRUE(clean);
}

TEST_F(HttpApiTest, ManyStreamsAtOnce) {
  constexpr int kStreams = 50;
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<RawClient>(server_->port()));
    clients.back()->Send(Post("/v1/chat/completions", kChatStream));
    engine_.AwaitSubmitted(i + 1);
  }
  for (int k = 0; k < 20; ++k) {
    for (int i = 0; i < kStreams; ++i) engine_.Emit(i + 1, absl::StrCat(i, " "));
  }
  for (int i = 0; i < kStreams; ++i) engine_.Finish(i + 1, FinishReason::kStop, ByteCodec::kEnd);
  for (int i = 0; i < kStreams; ++i) {
    std::string text;
    std::string expected;
    for (const std::string& event : Events(*clients[i])) {
      if (event == "[DONE]") continue;
      const Json chunk = Json::parse(event);
      if (!chunk["choices"].empty()) text += chunk["choices"][0]["delta"].value("content", "");
    }
    for (int k = 0; k < 20; ++k) absl::StrAppend(&expected, i, " ");
    EXPECT_EQ(text, expected);
  }
}

}  // namespace
}  // namespace tandem::router
