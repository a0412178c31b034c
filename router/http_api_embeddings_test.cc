#include <cmath>
#include <string>

#include "absl/strings/escaping.h"
#include "router/testing/http_api_fixture.h"

namespace tandem::router {
namespace {

using http::Post;
using http::RawClient;
using testing::HasSubstr;
using testing::StartsWith;

class HttpApiEmbeddingsTest : public HttpApiTest {
 protected:
  void Send(absl::string_view body) { client_.emplace(server_->port()).Send(Post("/v1/embeddings", body)); }
  std::string EmbeddingError(absl::string_view body) { return ErrorOf("/v1/embeddings", body); }

  std::optional<RawClient> client_;
};

TEST_F(HttpApiEmbeddingsTest, EveryInputIsOneRequestAndOneNormalisedVector) {
  Send(R"({"input":["ab",[99]],"model":"alias","user":"me","priority":3,"cache_salt":"s"})");
  const GenerationRequest request = engine_.AwaitSubmitted(1);
  EXPECT_EQ(codec_.Decode(request.prompt, false), "<|begin|>ab");
  EXPECT_EQ(request.pooling, Pooling::kLast);
  EXPECT_EQ(request.user, "me");
  EXPECT_EQ(request.priority, 3);
  EXPECT_EQ(request.cache_salt, "s");
  EXPECT_EQ(codec_.Decode(engine_.AwaitSubmitted(2).prompt, false), "c");
  engine_.Embed(2, {0, 0, 0, 0});
  engine_.Embed(1, {0, 3, 4, 0});
  const Json body = Body(client_->ReadResponse());
  EXPECT_EQ(body["object"], "list");
  EXPECT_EQ(body["model"], "alias");
  ASSERT_EQ(body["data"].size(), 2u);
  EXPECT_EQ(body["data"][0]["object"], "embedding");
  EXPECT_EQ(body["data"][0]["embedding"], Json({0.0f, 0.6f, 0.8f, 0.0f}));
  EXPECT_EQ(body["data"][1]["index"], 1);
  EXPECT_EQ(body["data"][1]["embedding"], Json({0.0f, 0.0f, 0.0f, 0.0f})) << "nothing to scale";
  EXPECT_EQ(body["usage"], Json({{"prompt_tokens", 4}, {"total_tokens", 4}}));
}

TEST_F(HttpApiEmbeddingsTest, FewerDimensionsAreNormalisedAgain) {
  Send(R"({"input":"a","dimensions":2,"pooling":"mean"})");
  EXPECT_EQ(engine_.AwaitSubmitted(1).pooling, Pooling::kMean);
  engine_.Embed(1, {3, 4, 12, 84});
  EXPECT_EQ(Body(client_->ReadResponse())["data"][0]["embedding"], Json({0.6f, 0.8f}));
}

TEST_F(HttpApiEmbeddingsTest, Base64IsLittleEndianFloats) {
  Send(R"({"input":"a","encoding_format":"base64"})");
  engine_.AwaitSubmitted(1);
  engine_.Embed(1, {0, 0, -2, 0});
  std::string bytes;
  ASSERT_TRUE(absl::Base64Unescape(Body(client_->ReadResponse())["data"][0]["embedding"].get<std::string>(), &bytes));
  EXPECT_EQ(bytes, std::string("\0\0\0\0\0\0\0\0\0\0\x80\xbf\0\0\0\0", 16));
}

TEST_F(HttpApiEmbeddingsTest, LongListsDoNotFillTheQueue) {
  Json inputs = Json::array();
  for (int i = 0; i < 200; ++i) inputs.push_back(std::to_string(i));
  Send(Json({{"input", inputs}}).dump());
  for (int i = 1; i <= 200; ++i) {  // submitted in about the order of the list
    const float number = std::stof(codec_.Decode(engine_.AwaitSubmitted(i).prompt, true));
    engine_.Embed(i, {number + 1, 1, 0, 0});
  }
  const Json body = Body(client_->ReadResponse());
  for (int i = 0; i < 200; ++i) {
    const float x = static_cast<float>(i + 1);
    EXPECT_NEAR(body["data"][i]["embedding"][0].get<float>(), x / std::sqrt(x * x + 1), 1e-6);
  }
  EXPECT_THAT(registry_.Serialize(), HasSubstr("tandem_requests_waiting 0"));
}

TEST_F(HttpApiEmbeddingsTest, AnErrorEndsTheOthers) {
  Send(R"({"input":["a","b"]})");
  engine_.AwaitSubmitted(2);
  engine_.Finish(2, FinishReason::kError, std::nullopt, absl::UnavailableError("worker lost"));
  EXPECT_THAT(client_->ReadResponse(), StartsWith("HTTP/1.1 503"));
  engine_.AwaitCancelled(1);
}

TEST_F(HttpApiEmbeddingsTest, AFullQueueIsToldAndEndsTheOthers) {
  Send(R"({"input":["a"]})");
  engine_.AwaitSubmitted(1);
  engine_.RefuseWith(absl::ResourceExhaustedError("full"));
  EXPECT_EQ(EmbeddingError(R"({"input":["a","b"]})"), "429 queue_full ");
  EXPECT_FALSE(engine_.IsCancelled(1)) << "another request's";
}

TEST_F(HttpApiEmbeddingsTest, DisconnectCancels) {
  Send(R"({"input":["a","b"]})");
  engine_.AwaitSubmitted(2);
  client_->Close();
  engine_.AwaitCancelled(1);
  engine_.AwaitCancelled(2);
}

TEST_F(HttpApiEmbeddingsTest, LongInputsAreTruncatedOnlyOnRequest) {
  const std::string text(1500, 'x');
  EXPECT_EQ(EmbeddingError(absl::StrCat(R"({"input":")", text, "\"}")), "400 context_length_exceeded input");
  Send(absl::StrCat(R"({"truncate_prompt_tokens":-1,"input":")", text, "\"}"));
  EXPECT_EQ(engine_.AwaitSubmitted(1).prompt.size(), 999u);
}

TEST_F(HttpApiEmbeddingsTest, WrongFieldsAreNamed) {
  EXPECT_EQ(EmbeddingError("{}"), "400 invalid_value input");
  EXPECT_EQ(EmbeddingError(R"({"input":7})"), "400 invalid_value input");
  EXPECT_EQ(EmbeddingError(R"({"input":[]})"), "400 invalid_value input");
  EXPECT_EQ(EmbeddingError(R"({"input":["a",7]})"), "400 invalid_value input");
  EXPECT_EQ(EmbeddingError(R"({"input":[[258]]})"), "400 invalid_value input");
  EXPECT_EQ(EmbeddingError(R"({"input":"","add_special_tokens":false})"), "400 invalid_value input");
  EXPECT_EQ(EmbeddingError(R"({"input":"a","dimensions":5})"), "400 invalid_value dimensions");
  EXPECT_EQ(EmbeddingError(R"({"input":"a","encoding_format":"x"})"), "400 invalid_value encoding_format");
  EXPECT_EQ(EmbeddingError(R"({"input":"a","pooling":"max"})"), "400 invalid_value pooling");
  EXPECT_EQ(EmbeddingError(R"({"input":"a","model":"x"})"), "404 model_not_found model");
}

}  // namespace
}  // namespace tandem::router
