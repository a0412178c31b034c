#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/http/async_client.h"
#include "base/http/client.h"
#include "base/status.h"
#include "cli/load/target.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string ErrorCode(const Json& error) {
  for (const char* key : {"code", "type"}) {
    if (error.is_object() && error.contains(key) && error[key].is_string()) {
      return error[key].get<std::string>();
    }
  }
  return "stream_error";
}

std::string ErrorOf(const absl::StatusOr<http::ClientResponse>& response) {
  if (response.ok()) {
    return response->status == 200 ? "" : absl::StrCat(response->status);
  }
  switch (response.status().code()) {
    case absl::StatusCode::kCancelled:
      return "cancelled";
    case absl::StatusCode::kDeadlineExceeded:
      return "timeout";
    default:
      return "connection";
  }
}

// Reads one answer, chunk by chunk, into its meter.
class StreamReader {
 public:
  explicit StreamReader(std::shared_ptr<RequestMeter> meter) : meter_(std::move(meter)) {}

  void OnStart() { meter_->Sent(absl::Now()); }

  void OnEvent(absl::string_view data) {
    const absl::Time now = absl::Now();
    if (data == "[DONE]") {
      done_ = now;
      return;
    }
    const Json chunk = Json::parse(data.begin(), data.end(), nullptr, /*allow_exceptions=*/false);
    if (!chunk.is_object()) {
      error_ = "bad_event";
    } else if (chunk.contains("error") && !chunk["error"].is_null()) {
      error_ = ErrorCode(chunk["error"]);
    } else {
      OnChunk(chunk, now);
    }
  }

  void OnDone(const absl::StatusOr<http::ClientResponse>& response) {
    std::string error = ErrorOf(response);
    if (error.empty()) {
      error = error_;
    }
    if (error.empty() && (!finished_ || !done_.has_value())) {
      error = "incomplete";
    }
    if (error.empty() && total_tokens_ > 0) {
      meter_->Usage(input_tokens_, total_tokens_);
    }
    meter_->End(done_.value_or(absl::Now()), std::move(error));
  }

 private:
  void OnChunk(const Json& chunk, absl::Time now) {
    const int64_t before = total_tokens_;
    if (chunk.contains("usage") && chunk["usage"].is_object()) {
      input_tokens_ = chunk["usage"].value("prompt_tokens", int64_t{0});
      total_tokens_ = chunk["usage"].value("completion_tokens", int64_t{0});
    }
    if (!chunk.contains("choices") || !chunk["choices"].is_array() || chunk["choices"].empty()) {
      return;  // the final usage
    }
    const Json& choice = chunk["choices"].front();
    if (choice.contains("finish_reason") && !choice["finish_reason"].is_null()) {
      finished_ = true;
    }
    // A piece may bring tokens without text: an end token, or bytes of a character that is not complete yet.
    if (HasText(choice) || total_tokens_ > before) {
      meter_->Output(now, total_tokens_);
    }
  }

  static bool HasText(const Json& choice) {
    const auto filled = [](const Json& object, const char* key) {
      return object.is_object() && object.contains(key) && !object[key].is_null() && !object[key].empty() &&
             object[key] != "";
    };
    if (filled(choice, "text")) {
      return true;
    }
    return choice.contains("delta") &&
           (filled(choice["delta"], "content") || filled(choice["delta"], "reasoning_content") ||
            filled(choice["delta"], "reasoning") || filled(choice["delta"], "tool_calls"));
  }

  const std::shared_ptr<RequestMeter> meter_;
  std::optional<absl::Time> done_;
  bool finished_ = false;
  int64_t input_tokens_ = 0;
  int64_t total_tokens_ = 0;
  std::string error_;
};

class HttpTarget final : public Target {
 public:
  HttpTarget(TargetOptions options, TargetModel model, std::unique_ptr<http::AsyncClient> client)
      : options_(std::move(options)), model_(std::move(model)), client_(std::move(client)) {}

  const TargetModel& model() const override { return model_; }

  void Send(const LoadRequest& request, std::shared_ptr<RequestMeter> meter) override {
    Json body = {{"model", model_.name},
                 {"stream", true},
                 {"stream_options", {{"include_usage", true}, {"continuous_usage_stats", true}}}};
    AddSampling(request, body);
    const auto* chat = std::get_if<ChatMessages>(&request.prompt);
    if (chat != nullptr) {
      body["messages"] = chat->messages;
    } else if (const auto* tokens = std::get_if<TokenPrompt>(&request.prompt)) {
      body["prompt"] = *tokens;
    } else {
      body["prompt"] = std::get<TextPrompt>(request.prompt);
    }
    auto reader = std::make_shared<StreamReader>(std::move(meter));
    client_->PostForEvents(
        chat != nullptr ? "/v1/chat/completions" : "/v1/completions",
        body.dump(-1, ' ', false, Json::error_handler_t::replace),
        {.on_start = [reader] { reader->OnStart(); },
         .on_event =
             [reader](absl::string_view data) {
               reader->OnEvent(data);
               return true;
             },
         .on_done = [reader](const absl::StatusOr<http::ClientResponse>& response) { reader->OnDone(response); }});
  }

 private:
  void AddSampling(const LoadRequest& request, Json& body) const {
    if (options_.temperature.has_value()) {
      body["temperature"] = *options_.temperature;
    }
    if (options_.sampling_seed.has_value()) {
      body["seed"] = *options_.sampling_seed;
    }
    if (request.max_tokens > 0) {
      body["max_tokens"] = request.max_tokens;
    }
    if (request.ignore_eos) {
      body["ignore_eos"] = true;
    }
  }

  const TargetOptions options_;
  const TargetModel model_;
  const std::unique_ptr<http::AsyncClient> client_;
};

absl::StatusOr<TargetModel> AskForModel(const TargetOptions& options) {
  ASSIGN_OR_RETURN(http::Client client, http::Client::Create(options.url));
  client.SetTimeout(absl::Seconds(30));
  if (!options.api_key.empty()) {
    client.AddHeader("Authorization", absl::StrCat("Bearer ", options.api_key));
  }
  ASSIGN_OR_RETURN(const http::ClientResponse response, client.Get("/v1/models"));
  const Json json = Json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (response.status != 200 || !json.is_object() || !json.contains("data") || !json["data"].is_array()) {
    return absl::FailedPreconditionError(
        absl::StrCat(options.url, "/v1/models answered ", response.status, ", not a list of models"));
  }
  for (const Json& entry : json["data"]) {
    const std::string id = entry.is_object() ? entry.value("id", "") : "";
    if (!id.empty() && (options.model.empty() || options.model == id)) {
      const Json::json_pointer vocab("/meta/n_vocab");
      return TargetModel{id, entry.contains(vocab) && entry[vocab].is_number_integer() ? entry[vocab].get<int>() : 0};
    }
  }
  return absl::NotFoundError(absl::StrCat(options.url, " serves no model ", options.model));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Target>> ConnectHttpTarget(const TargetOptions& options) {
  ASSIGN_OR_RETURN(TargetModel model, AskForModel(options));
  http::AsyncClientOptions client_options = {.timeout = options.timeout};
  if (!options.api_key.empty()) {
    client_options.headers.emplace_back("Authorization", absl::StrCat("Bearer ", options.api_key));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<http::AsyncClient> client,
                   http::AsyncClient::Create(options.url, std::move(client_options)));
  return std::make_unique<HttpTarget>(options, std::move(model), std::move(client));
}

}  // namespace tandem::cli
