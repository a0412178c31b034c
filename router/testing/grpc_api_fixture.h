// A gRPC API on a free port over a fake engine, and a client of it.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "router/grpc_api.h"
#include "router/testing/fake_token_engine.h"
#include "tandem/chat/v1/chat_service.grpc.pb.h"

namespace tandem::router {

class GrpcApiTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }

  void Start(std::vector<std::string> keys, size_t max_write_queue_bytes = 1 << 20) {
    api_ = nullptr;
    GrpcApiOptions options;
    options.context.model_names = {"tiny"};
    options.context.vocab_size = engine_.vocab_size();
    options.context.max_model_len = engine_.max_model_len();
    options.context.hidden_size = 3;
    options.context.formats = {.tools = ToolFormat::kHermes, .reasoning = ReasoningFormat::kThink};
    options.api_keys = std::move(keys);
    options.max_write_queue_bytes = max_write_queue_bytes;
    auto api = GrpcApi::Start(std::move(options), &service_);
    ASSERT_TRUE(api.ok()) << api.status();
    api_ = *std::move(api);
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", api_->port()), grpc::InsecureChannelCredentials());
    stub_ = chat::v1::ChatService::NewStub(channel_);
  }

  template <class Request>
  static Request Chat(const std::string& text) {
    Request request;
    auto* message = request.add_messages();
    message->set_role("user");
    message->set_content(text);
    return request;
  }

  FakeTokenEngine engine_;
  ByteCodec codec_;
  LineTemplate template_;
  metrics::Registry registry_;
  CompletionMetrics metrics_{registry_};
  ThreadPool executor_{"api", 2};
  CompletionService service_{&engine_, &codec_, &template_, &executor_, &metrics_};
  std::unique_ptr<GrpcApi> api_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<chat::v1::ChatService::Stub> stub_;
};

}  // namespace tandem::router
