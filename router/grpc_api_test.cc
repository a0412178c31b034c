#include "router/grpc_api.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "router/testing/grpc_api_fixture.h"

namespace tandem::router {
namespace {

namespace v1 = chat::v1;
using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(GrpcApiTest, AnswersAChat) {
  auto request = Chat<v1::ChatRequest>("hi");
  request.mutable_options()->set_temperature(0);
  request.mutable_options()->set_seed(7);
  request.mutable_options()->add_stop_token_ids(3);
  request.mutable_options()->add_stop("!");
#ifndef __SANITIZE_THREAD__  // where protobuf's headers lay out Struct otherwise than its packaged library does
  (*request.mutable_chat_template_kwargs()->mutable_fields())["enable_thinking"].set_bool_value(true);
#else
  request.set_reasoning_effort("high");
#endif
  v1::ChatResponse response;
  grpc::Status status;
  std::thread caller([&] {
    grpc::ClientContext context;
    context.AddMetadata("x-request-id", "r7");
    status = stub_->Chat(&context, request, &response);
  });
  const GenerationRequest generation = engine_.AwaitSubmitted(1);
  EXPECT_EQ(codec_.Decode(generation.prompt, false), "user: hi<|end|>(thinking)assistant: ");
  EXPECT_EQ(generation.sampling.temperature, 0) << "0 is not unset";
  EXPECT_EQ(generation.sampling.seed, 7u);
  EXPECT_EQ(generation.sampling.top_p, 1);
  EXPECT_THAT(generation.sampling.stop_token_ids, ElementsAre(3));
  engine_.Emit(1, "yes!no");
  caller.join();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.id(), "r7");
  EXPECT_EQ(response.model(), "tiny");
  EXPECT_EQ(response.message().role(), "assistant");
  EXPECT_EQ(response.message().content(), "yes");
  EXPECT_EQ(response.finish_reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(response.stop_reason().stop(), "!");
  EXPECT_EQ(response.usage().completion_tokens(), 4);
  EXPECT_THAT(response.token_ids(), ElementsAre('y', 'e', 's', '!'));
}

TEST_F(GrpcApiTest, StreamsAChat) {
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, Chat<v1::ChatStreamRequest>("hi"));
  engine_.AwaitSubmitted(1);
  v1::ChatStreamResponse response;
  engine_.Emit(1, "a");
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.text(), "a");
  EXPECT_EQ(response.finish_reason(), v1::FINISH_REASON_UNSPECIFIED);
  engine_.Emit(1, "b");
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.text(), "b");
  engine_.Finish(1, FinishReason::kLength, 'c');
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.text(), "c");
  EXPECT_EQ(response.finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(response.usage().completion_tokens(), 3);
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(GrpcApiTest, CompletesTextAndTokens) {
  for (int id : {1, 2}) {
    v1::CompleteRequest request;
    if (id == 1) {
      request.set_text("ab");
    } else {
      for (int token : {97, 98}) request.mutable_tokens()->add_ids(token);
    }
    v1::CompleteResponse response;
    grpc::Status status;
    std::thread caller([&] {
      grpc::ClientContext context;
      status = stub_->Complete(&context, request, &response);
    });
    EXPECT_EQ(engine_.AwaitSubmitted(id).prompt.size(), id == 1 ? 3u : 2u);
    engine_.Finish(id, FinishReason::kLength, 'x');
    caller.join();
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.text(), "x");
  }
  grpc::ClientContext context;
  v1::CompleteStreamRequest request;
  request.set_text("ab");
  auto reader = stub_->CompleteStream(&context, request);
  engine_.AwaitSubmitted(3);
  engine_.Finish(3, FinishReason::kLength, 'x');
  v1::CompleteStreamResponse response;
  EXPECT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.text(), "x");
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(GrpcApiTest, BadRequestsNameTheField) {
  auto request = Chat<v1::ChatRequest>("hi");
  request.mutable_options()->set_temperature(std::numeric_limits<double>::quiet_NaN());
  v1::ChatResponse response;
  grpc::ClientContext context;
  const grpc::Status status = stub_->Chat(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("temperature"));
  EXPECT_THAT(status.error_details(), HasSubstr("type.googleapis.com/google.rpc.ErrorInfo"));
  EXPECT_THAT(status.error_details(), HasSubstr("invalid_value"));
  EXPECT_THAT(status.error_details(), HasSubstr("type.googleapis.com/google.rpc.BadRequest"));

  grpc::ClientContext empty;
  EXPECT_EQ(stub_->Chat(&empty, v1::ChatRequest(), &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext unknown;
  request = Chat<v1::ChatRequest>("hi");
  request.set_model("other");
  EXPECT_EQ(stub_->Chat(&unknown, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
  grpc::ClientContext no_prompt;
  v1::CompleteResponse completed;
  EXPECT_EQ(stub_->Complete(&no_prompt, v1::CompleteRequest(), &completed).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcApiTest, EngineErrorsKeepTheirCode) {
  v1::ChatResponse response;
  engine_.RefuseWith(absl::ResourceExhaustedError("full"));
  grpc::ClientContext full;
  EXPECT_EQ(stub_->Chat(&full, Chat<v1::ChatRequest>("hi"), &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, Chat<v1::ChatStreamRequest>("hi"));
  engine_.AwaitSubmitted(1);
  engine_.Finish(1, FinishReason::kError, std::nullopt, absl::InternalError("secret"));
  v1::ChatStreamResponse chunk;
  EXPECT_FALSE(reader->Read(&chunk));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(status.error_message(), testing::Not(HasSubstr("secret")));
}

TEST_F(GrpcApiTest, CancellationAndDeadlineReachTheEngine) {
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, Chat<v1::ChatStreamRequest>("hi"));
  engine_.AwaitSubmitted(1);
  context.TryCancel();
  engine_.AwaitCancelled(1);
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);

  grpc::ClientContext timed;
  timed.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  v1::ChatResponse response;
  EXPECT_EQ(stub_->Chat(&timed, Chat<v1::ChatRequest>("hi"), &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  engine_.AwaitCancelled(2);
}

TEST_F(GrpcApiTest, AClientThatDoesNotReadIsCut) {
  Start({}, /*max_write_queue_bytes=*/64 << 10);
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, Chat<v1::ChatStreamRequest>("hi"));
  engine_.AwaitSubmitted(1);
  const std::string block(16 << 10, 'x');
  for (int i = 0; i < 10000 && !engine_.IsCancelled(1); ++i) {
    engine_.Emit(1, block);
  }
  EXPECT_TRUE(engine_.IsCancelled(1));
}

TEST_F(GrpcApiTest, KeysAreAskedFor) {
  Start({"secret"});
  v1::ListModelsResponse models;
  grpc::ClientContext without;
  EXPECT_EQ(stub_->ListModels(&without, {}, &models).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  v1::ChatResponse response;
  grpc::ClientContext chat;
  EXPECT_EQ(stub_->Chat(&chat, Chat<v1::ChatRequest>("hi"), &response).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext with;
  with.AddMetadata("authorization", "Bearer secret");
  ASSERT_TRUE(stub_->ListModels(&with, {}, &models).ok());
  EXPECT_EQ(models.models(0).id(), "tiny");
  EXPECT_EQ(models.models(0).max_model_len(), 1000);
}

// grpc.health.v1.Health/Check without generated code: field 1 of the answer is the status, 1 SERVING, 2 NOT_SERVING.
int HealthOf(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const grpc::Slice no_fields("", 0);
  const grpc::ByteBuffer request(&no_fields, 1);
  auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  grpc::ByteBuffer response;
  grpc::Status status;
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  grpc::Slice slice;
  return status.ok() && response.TrySingleSlice(&slice).ok() && slice.size() == 2 ? slice.begin()[1] : -1;
}

TEST_F(GrpcApiTest, HealthFollowsTheEngine) {
  EXPECT_EQ(HealthOf(channel_), 1);
  engine_.SetHealth(absl::UnavailableError("1/2 workers ready"));
  api_->RefreshHealth();
  EXPECT_EQ(HealthOf(channel_), 2);
  engine_.SetHealth(absl::OkStatus());
  api_->RefreshHealth();
  EXPECT_EQ(HealthOf(channel_), 1);
  service_.Drain();
  api_->RefreshHealth();
  EXPECT_EQ(HealthOf(channel_), 2);
}

TEST_F(GrpcApiTest, ShutdownFinishesRunningCalls) {
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, Chat<v1::ChatStreamRequest>("hi"));
  engine_.AwaitSubmitted(1);
  std::thread stopper([&] { api_->Shutdown(absl::Seconds(20)); });
  engine_.Emit(1, "bye");
  engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd);
  std::string text;
  v1::ChatStreamResponse response;
  while (reader->Read(&response)) text += response.text();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(text, "bye");
  stopper.join();
}

TEST_F(GrpcApiTest, ShutdownCancelsWhatIsLeft) {
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, Chat<v1::ChatStreamRequest>("hi"));
  engine_.AwaitSubmitted(1);
  api_->Shutdown(absl::ZeroDuration());
  EXPECT_TRUE(engine_.IsCancelled(1));
  EXPECT_FALSE(reader->Finish().ok());
}

TEST_F(GrpcApiTest, ASecondServerOnThePortIsRefused) {
  GrpcApiOptions options;
  options.context.model_names = {"tiny"};
  options.port = api_->port();
  const auto second = GrpcApi::Start(options, &service_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr("another port"));
}

}  // namespace
}  // namespace tandem::router
