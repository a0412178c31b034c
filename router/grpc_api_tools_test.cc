// Tool calls and reasoning over gRPC.
#include <gmock/gmock.h>

#include <thread>

#include "router/testing/grpc_api_fixture.h"

namespace tandem::router {
namespace {

namespace v1 = chat::v1;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kAnswer[] =
    "<think>Hm.</think>Wait.<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}</tool_call>";

template <class Request>
Request WithTool(Request request) {
  request.add_tools()->set_name("weather");
  return request;
}

TEST_F(GrpcApiTest, AnswersWithToolCalls) {
  v1::ChatResponse response;
  grpc::Status status;
  std::thread caller([&] {
    grpc::ClientContext context;
    auto request = WithTool(Chat<v1::ChatRequest>("hi"));
    auto* earlier = request.add_messages();
    earlier->set_role("assistant");
    auto* call = earlier->add_tool_calls();
    call->set_id("call_1");
    call->set_name("weather");
    call->set_arguments("{}");
    status = stub_->Chat(&context, request, &response);
  });
  const GenerationRequest generation = engine_.AwaitSubmitted(1);
  EXPECT_THAT(codec_.Decode(generation.prompt, false), StartsWith("tool weather<|end|>user: hi"));
  engine_.Emit(1, kAnswer);
  engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd);
  caller.join();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.message().content(), "Wait.");
  EXPECT_EQ(response.message().reasoning_content(), "Hm.");
  ASSERT_EQ(response.message().tool_calls_size(), 1);
  EXPECT_THAT(response.message().tool_calls(0).id(), StartsWith("call_"));
  EXPECT_EQ(response.message().tool_calls(0).name(), "weather");
  EXPECT_EQ(response.message().tool_calls(0).arguments(), R"({"city": "Oslo"})");
  EXPECT_EQ(response.finish_reason(), v1::FINISH_REASON_TOOL_CALLS);
  EXPECT_GT(response.usage().reasoning_tokens(), 0);
}

TEST_F(GrpcApiTest, StreamsToolCalls) {
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, WithTool(Chat<v1::ChatStreamRequest>("hi")));
  engine_.AwaitSubmitted(1);
  engine_.Emit(1, kAnswer);
  engine_.Finish(1, FinishReason::kStop, ByteCodec::kEnd);
  v1::ChatStreamResponse response;
  std::string text;
  std::string reasoning;
  std::string name;
  std::string arguments;
  v1::FinishReason finish_reason = v1::FINISH_REASON_UNSPECIFIED;
  while (reader->Read(&response)) {
    text += response.text();
    reasoning += response.reasoning_text();
    for (const v1::ToolCallDelta& call : response.tool_calls()) {
      EXPECT_EQ(call.index(), 0);
      EXPECT_EQ(call.id().empty(), call.name().empty());
      name += call.name();
      arguments += call.arguments();
    }
    finish_reason = response.finish_reason();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(text, "Wait.");
  EXPECT_EQ(reasoning, "Hm.");
  EXPECT_EQ(name, "weather");
  EXPECT_EQ(arguments, R"({"city": "Oslo"})");
  EXPECT_EQ(finish_reason, v1::FINISH_REASON_TOOL_CALLS);
}

TEST_F(GrpcApiTest, ToolChoicesAreThoseOfTheHttpApi) {
  auto request = WithTool(Chat<v1::ChatRequest>("hi"));
  request.mutable_tool_choice()->set_name("other");
  grpc::ClientContext context;
  v1::ChatResponse response;
  const grpc::Status status = stub_->Chat(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("tool_choice"));
}

}  // namespace
}  // namespace tandem::router
