#include "router/testing/grpc_api_fixture.h"

namespace tandem::router {
namespace {

namespace v1 = chat::v1;
using testing::ElementsAre;
using testing::Pair;

// What gRPC has in common with HTTP beyond plain answers: rules for tokens, several answers, log probabilities,
// embeddings.
class GrpcApiAnswersTest : public GrpcApiTest {
 protected:
  // Runs a call beside the test, which plays the engine.
  template <class Request, class Response>
  void Begin(grpc::Status (v1::ChatService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
             Request request, Response* response) {
    caller_ = std::thread([this, method, request = std::move(request), response] {
      status_ = (stub_.get()->*method)(&context_, request, response);
    });
  }
  void TearDown() override {
    if (caller_.joinable()) caller_.join();
  }

  grpc::ClientContext context_;
  grpc::Status status_;
  std::thread caller_;
};

TEST_F(GrpcApiAnswersTest, OptionsReachTheEngine) {
  auto request = Chat<v1::ChatRequest>("hi");
  v1::GenerationOptions& options = *request.mutable_options();
  options.set_presence_penalty(0.5);
  options.set_frequency_penalty(-0.5);
  options.set_repetition_penalty(1.5);
  (*options.mutable_logit_bias())[5] = -100;
  options.add_allowed_token_ids(5);
  options.set_truncate_prompt_tokens(2);
  options.set_priority(-3);
  options.set_user("me");
  options.set_cache_salt("salt");
  options.set_prompt_logprobs(2);
  v1::ChatResponse response;
  Begin(&v1::ChatService::Stub::Chat, request, &response);
  const GenerationRequest generation = engine_.AwaitSubmitted(1);
  EXPECT_EQ(generation.sampling.presence_penalty, 0.5f);
  EXPECT_EQ(generation.sampling.frequency_penalty, -0.5f);
  EXPECT_EQ(generation.sampling.repetition_penalty, 1.5f);
  EXPECT_THAT(generation.sampling.logit_bias, ElementsAre(Pair(5, -100)));
  EXPECT_THAT(generation.sampling.allowed_token_ids, ElementsAre(5));
  EXPECT_EQ(generation.prompt.size(), 2u);
  EXPECT_EQ(generation.priority, -3);
  EXPECT_EQ(generation.user, "me");
  EXPECT_EQ(generation.cache_salt, "salt");
  engine_.Finish(1, FinishReason::kLength, 'x');
  caller_.join();
  ASSERT_EQ(response.prompt_logprobs_size(), 1);
  EXPECT_EQ(response.prompt_logprobs(0).top(0).token(), "e");
}

TEST_F(GrpcApiAnswersTest, SeveralAnswersOfAChat) {
  auto request = Chat<v1::ChatRequest>("hi");
  request.mutable_options()->set_n(2);
  request.mutable_options()->set_logprobs(1);
  v1::ChatResponse response;
  Begin(&v1::ChatService::Stub::Chat, request, &response);
  engine_.AwaitSubmitted(1);
  engine_.Finish(1, FinishReason::kLength, 'b', absl::OkStatus(), 1);
  engine_.Emit(1, "a");
  engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd);
  caller_.join();
  ASSERT_TRUE(status_.ok()) << status_.error_message();
  EXPECT_EQ(response.message().content(), "a");
  ASSERT_EQ(response.choices_size(), 2);
  EXPECT_EQ(response.choices(0).message().content(), "a");
  EXPECT_EQ(response.choices(1).message().role(), "assistant");
  EXPECT_EQ(response.choices(1).message().content(), "b");
  EXPECT_EQ(response.choices(1).finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_THAT(response.choices(1).token_ids(), ElementsAre('b'));
  EXPECT_EQ(response.usage().completion_tokens(), 3);
  EXPECT_EQ(response.usage().prompt_tokens(), engine_.AwaitSubmitted(1).prompt.size());
  ASSERT_EQ(response.logprobs_size(), 2);
  EXPECT_EQ(response.logprobs(0).chosen().token(), "a");
  EXPECT_EQ(response.logprobs(0).chosen().rank(), 2);
  EXPECT_FLOAT_EQ(response.logprobs(0).top(0).logprob(), -0.25f);
}

TEST_F(GrpcApiAnswersTest, StreamedAnswersCarryTheirIndex) {
  v1::CompleteStreamRequest request;
  request.set_text("ab");
  request.mutable_options()->set_n(2);
  request.mutable_options()->set_logprobs(0);
  auto reader = stub_->CompleteStream(&context_, request);
  engine_.AwaitSubmitted(1);
  engine_.Finish(1, FinishReason::kLength, 'b', absl::OkStatus(), 1);
  engine_.Finish(1, FinishReason::kLength, 'a', absl::OkStatus(), 0);
  std::string texts[2];
  v1::CompleteStreamResponse response;
  while (reader->Read(&response)) {
    texts[response.index()] += response.text();
    EXPECT_EQ(response.logprobs_size(), response.token_ids_size());
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(texts[0], "a");
  EXPECT_EQ(texts[1], "b");
}

TEST_F(GrpcApiAnswersTest, PromptLogprobsAreNotForStreams) {
  v1::CompleteStreamRequest request;
  request.set_text("ab");
  request.mutable_options()->set_prompt_logprobs(0);
  auto reader = stub_->CompleteStream(&context_, request);
  v1::CompleteStreamResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcApiAnswersTest, Embeddings) {
  v1::EmbedRequest request;
  request.add_inputs()->set_text("ab");
  request.add_inputs()->mutable_tokens()->add_ids(99);
  request.set_pooling(v1::POOLING_MEAN);
  request.set_dimensions(2);
  request.set_user("me");
  v1::EmbedResponse response;
  Begin(&v1::ChatService::Stub::Embed, request, &response);
  EXPECT_EQ(engine_.AwaitSubmitted(1).pooling, Pooling::kMean);
  EXPECT_EQ(engine_.AwaitSubmitted(2).user, "me");
  engine_.Embed(1, {3, 4, 5});
  engine_.Embed(2, {0, 2, 5});
  caller_.join();
  ASSERT_TRUE(status_.ok()) << status_.error_message();
  EXPECT_EQ(response.model(), "tiny");
  EXPECT_EQ(response.prompt_tokens(), 4);
  ASSERT_EQ(response.embeddings_size(), 2);
  EXPECT_THAT(response.embeddings(0).values(), ElementsAre(0.6f, 0.8f));
  EXPECT_THAT(response.embeddings(1).values(), ElementsAre(0, 1));
}

TEST_F(GrpcApiAnswersTest, EmbeddingErrorsAndCancellation) {
  v1::EmbedResponse response;
  grpc::ClientContext wrong;
  EXPECT_EQ(stub_->Embed(&wrong, v1::EmbedRequest(), &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  v1::EmbedRequest request;
  request.add_inputs()->set_text("ab");
  Begin(&v1::ChatService::Stub::Embed, request, &response);
  engine_.AwaitSubmitted(1);
  context_.TryCancel();
  engine_.AwaitCancelled(1);
  caller_.join();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::CANCELLED);
  engine_.RefuseWith(absl::ResourceExhaustedError("full"));
  grpc::ClientContext full;
  EXPECT_EQ(stub_->Embed(&full, request, &response).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace tandem::router
