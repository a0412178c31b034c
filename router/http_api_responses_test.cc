#include "router/testing/http_api_fixture.h"

namespace tandem::router {
namespace {

using http::Post;
using http::RawClient;
using testing::ElementsAre;
using testing::StartsWith;

class HttpApiResponsesTest : public HttpApiTest {
 protected:
  void Send(absl::string_view body) {
    client_.emplace(server_->port()).Send(Post("/v1/responses", body, "X-Request-Id: r1\r\n"));
    engine_.AwaitSubmitted(1);
  }
  std::string ResponseError(absl::string_view body) { return ErrorOf("/v1/responses", body); }

  // The events until the stream ends.
  std::vector<Json> ReadEvents() {
    std::vector<Json> events;
    while (true) {
      const std::string event = client_->ReadUntil("\n\n");
      const size_t at = event.find("data: ");
      if (at == std::string::npos) break;
      events.push_back(Json::parse(event.substr(at + 6)));
      EXPECT_THAT(event, testing::HasSubstr("event: " + events.back()["type"].get<std::string>() + "\n"));
      const std::string& type = events.back()["type"].get_ref<const std::string&>();
      if (type == "response.completed" || type == "response.incomplete" || type == "response.failed") break;
    }
    return events;
  }

  std::optional<RawClient> client_;
};

TEST_F(HttpApiResponsesTest, AnswersAText) {
  Send(R"({"input":"hi","instructions":"be short","max_output_tokens":7,"temperature":0,"store":true})");
  const GenerationRequest request = engine_.AwaitSubmitted(1);
  EXPECT_EQ(codec_.Decode(request.prompt, false), "system: be short<|end|>user: hi<|end|>assistant: ");
  EXPECT_EQ(request.sampling.max_tokens, 7);
  EXPECT_EQ(request.sampling.temperature, 0);
  engine_.Emit(1, "hello");
  engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd);
  const Json body = Body(client_->ReadResponse());
  EXPECT_EQ(body["id"], "resp_r1");
  EXPECT_EQ(body["object"], "response");
  EXPECT_EQ(body["status"], "completed");
  EXPECT_EQ(body["output"][0]["role"], "assistant");
  EXPECT_EQ(body["output"][0]["content"][0]["text"], "hello");
  EXPECT_EQ(body["instructions"], "be short");
  EXPECT_EQ(body["usage"]["output_tokens"], 6);
  EXPECT_EQ(body["store"], false);
}

TEST_F(HttpApiResponsesTest, TakesConversations) {
  Send(R"({"input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},
    {"type":"reasoning","summary":[]},
    {"type":"message","role":"assistant","content":[{"type":"output_text","text":"b","annotations":[]}]},
    {"role":"user","content":"c"}]})");
  EXPECT_EQ(codec_.Decode(engine_.AwaitSubmitted(1).prompt, false),
            "user: a<|end|>assistant: b<|end|>user: c<|end|>assistant: ");
}

TEST_F(HttpApiResponsesTest, StreamsNumberedEvents) {
  Send(R"({"input":"hi","stream":true})");
  engine_.Emit(1, "he");
  engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd);
  std::string text;
  const std::vector<Json> events = ReadEvents();
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    if (events[i]["type"] == "response.output_text.delta") text += events[i]["delta"].get<std::string>();
  }
  EXPECT_EQ(text, "he");
  EXPECT_EQ(events.back()["response"]["output"][0]["content"][0]["text"], "he");
  EXPECT_EQ(events.back()["response"]["usage"]["output_tokens"], 3);
}

TEST_F(HttpApiResponsesTest, StreamsTypedEventsInOpenAisOrder) {
  Send(R"({"input":"hi","stream":true})");
  engine_.Finish(1, FinishReason::kLength, 'x');
  std::vector<std::string> types;
  const std::vector<Json> events = ReadEvents();
  for (const Json& event : events) types.push_back(event["type"]);
  EXPECT_THAT(types,
              ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                          "response.content_part.added", "response.output_text.delta", "response.output_text.done",
                          "response.content_part.done", "response.output_item.done", "response.incomplete"));
  EXPECT_EQ(events[0]["response"]["status"], "in_progress");
  EXPECT_EQ(events.back()["response"]["incomplete_details"]["reason"], "max_output_tokens");
}

TEST_F(HttpApiResponsesTest, ErrorsAreEventsOrStatuses) {
  Send(R"({"input":"hi","stream":true})");
  engine_.Finish(1, FinishReason::kError, std::nullopt, absl::DeadlineExceededError("too late"));
  const std::vector<Json> events = ReadEvents();
  EXPECT_EQ(events[events.size() - 2]["type"], "error");
  EXPECT_EQ(events.back()["response"]["status"], "failed");
  engine_.RefuseWith(absl::ResourceExhaustedError("full"));
  EXPECT_EQ(ResponseError(R"({"input":"x"})"), "429 queue_full ");
}

TEST_F(HttpApiResponsesTest, DisconnectCancels) {
  Send(R"({"input":"hi","stream":true})");
  client_->Close();
  engine_.AwaitCancelled(1);
}

TEST_F(HttpApiResponsesTest, WrongAndUnsupportedFieldsAreNamed) {
  EXPECT_EQ(ResponseError("{}"), "400 invalid_value input");
  EXPECT_EQ(ResponseError(R"({"input":7})"), "400 invalid_value input");
  EXPECT_EQ(ResponseError(R"({"input":[7]})"), "400 invalid_value input[0]");
  EXPECT_EQ(ResponseError(R"({"input":[{"type":"poem"}]})"), "400 invalid_value input[0].type");
  EXPECT_EQ(ResponseError(R"({"input":[{"role":"king","content":"x"}]})"), "400 invalid_value input");
  EXPECT_EQ(ResponseError(R"({"input":[{"type":"function_call_output"}]})"), "501 unsupported_parameter input[0]");
  EXPECT_EQ(ResponseError(R"({"input":"x","max_output_tokens":0})"), "400 invalid_value max_output_tokens");
  EXPECT_EQ(ResponseError(R"({"input":"x","temperature":3})"), "400 invalid_value temperature");
  EXPECT_EQ(ResponseError(R"({"input":"x","reasoning":7})"), "400 invalid_value reasoning");
  EXPECT_EQ(ResponseError(R"({"input":"x","text":{"format":7}})"), "400 invalid_value text.format");
  EXPECT_EQ(ResponseError(R"({"input":"x","store":1})"), "400 invalid_value store");
  EXPECT_EQ(ResponseError(R"({"input":"x","background":true})"), "501 unsupported_parameter background");
  EXPECT_EQ(ResponseError(R"({"input":"x","previous_response_id":"y"})"),
            "501 unsupported_parameter previous_response_id");
  EXPECT_EQ(ResponseError(R"({"input":"x","model":"y"})"), "404 model_not_found model");
}

}  // namespace
}  // namespace tandem::router
