// An HTTP API on a free port over a fake engine.
#pragma once

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "base/http/testing.h"
#include "base/log.h"
#include "router/http_api.h"
#include "router/testing/fake_token_engine.h"

namespace tandem::router {

class HttpApiTest : public testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::warn);
    Start({});
  }

  void Start(std::vector<std::string> keys) {
    server_ = nullptr;
    HttpApiOptions options;
    options.context = {.model_names = {"tiny", "alias"},
                       .defaults = {},
                       .vocab_size = engine_.vocab_size(),
                       .max_model_len = engine_.max_model_len(),
                       .hidden_size = 4};
    options.context.formats = formats_;
    options.context.reasoning_field = reasoning_field_;
    options.context.structured_output = &structured_output_;
    options.context.defaults.temperature = 0.5f;
    options.version = "1.2.3";
    options.api_keys = std::move(keys);
    options.recorder = &recorder_;
    api_ = std::make_unique<HttpApi>(std::move(options), &service_, &registry_);
    http::Router router;
    http::ServerOptions server_options;
    server_options.max_body_bytes = 1 << 20;
    api_->Register(router);
    api_->Configure(server_options);
    auto server = http::Server::Start(std::move(server_options), std::move(router));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string Ask(absl::string_view request) {
    http::RawClient client(server_->port());
    client.Send(request);
    return client.ReadResponse();
  }

  static Json Body(const std::string& response) { return Json::parse(response.substr(response.find("\r\n\r\n") + 4)); }

  // "status code param" of an error answer.
  std::string ErrorOf(absl::string_view path, absl::string_view body) {
    const std::string response = Ask(http::Post(path, body));
    const Json error = Body(response)["error"];
    EXPECT_TRUE(error["message"].is_string()) << response;
    return absl::StrCat(response.substr(9, 3), " ", error["code"].get<std::string>(), " ",
                        error["param"].is_null() ? "" : error["param"].get<std::string>());
  }

  std::string ChatError(absl::string_view fields) {
    return ErrorOf("/v1/chat/completions",
                   absl::StrCat(R"({"messages":[{"role":"user","content":"hi"}],)", fields, "}"));
  }

  // The events of a stream, without pings.
  static std::vector<std::string> Events(http::RawClient& client) {
    std::vector<std::string> events;
    while (true) {
      std::string event = client.ReadUntil("\n\n");
      const size_t at = event.find("data: ");
      if (at == std::string::npos) break;
      events.push_back(event.substr(at + 6, event.size() - at - 8));
      if (events.back() == "[DONE]") break;
    }
    return events;
  }

  OutputFormats formats_ = {.tools = ToolFormat::kHermes, .reasoning = ReasoningFormat::kThink};
  ReasoningField reasoning_field_ = ReasoningField::kReasoningContent;
  FakeTokenEngine engine_;
  trace::Recorder recorder_;
  ByteCodec codec_;
  StructuredOutput structured_output_{&codec_, ByteCodec::kVocabSize,
                                      StructuredOutputOptions{.end_tokens = {ByteCodec::kEnd}}};
  LineTemplate template_;
  metrics::Registry registry_;
  CompletionMetrics metrics_{registry_};
  ThreadPool executor_{"api", 2};
  CompletionService service_{&engine_, &codec_, &template_, &executor_, &metrics_};
  std::unique_ptr<HttpApi> api_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace tandem::router
