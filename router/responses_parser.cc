#include "router/responses_parser.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"
#include "router/field_reader.h"

namespace tandem::router {
namespace {

// Same name and meaning in a chat request.
constexpr const char* kShared[] = {"model",
                                   "temperature",
                                   "top_p",
                                   "stream",
                                   "user",
                                   "safety_identifier",
                                   "metadata",
                                   "service_tier",
                                   "prompt_cache_key",
                                   "priority",
                                   "cache_salt",
                                   "seed",
                                   "top_k",
                                   "min_p",
                                   "presence_penalty",
                                   "frequency_penalty",
                                   "repetition_penalty",
                                   "logit_bias",
                                   "stop",
                                   "stop_token_ids",
                                   "ignore_eos",
                                   "min_tokens",
                                   "chat_template_kwargs"};

// With the values that change nothing, as a JSON array.
constexpr std::pair<const char*, const char*> kUnsupported[] = {{"previous_response_id", "[]"},
                                                                {"conversation", "[]"},
                                                                {"background", "[false]"},
                                                                {"prompt", "[]"},
                                                                {"tools", "[[]]"},
                                                                {"truncation", "[\"disabled\"]"},
                                                                {"top_logprobs", "[0]"},
                                                                {"context_management", "[]"},
                                                                {"tool_choice", "[\"auto\",\"none\"]"},
                                                                {"max_tool_calls", "[]"}};

constexpr const char* kIgnored[] = {"include", "parallel_tool_calls", "stream_options", "prompt_cache_retention"};

absl::Status CheckUnsupported(FieldReader& fields) {
  for (const auto& [name, neutral_text] : kUnsupported) {
    const Json* value = fields.Find(name);
    const Json neutral = Json::parse(neutral_text);
    if (value != nullptr && std::find(neutral.begin(), neutral.end(), *value) == neutral.end()) {
      return WithApiCode(absl::UnimplementedError(absl::StrCat("'", name, "' is not supported by this server")),
                         "unsupported_parameter", name);
    }
  }
  for (const char* name : kIgnored) {
    fields.Find(name);
  }
  return absl::OkStatus();
}

// Content parts are called otherwise here; what they hold is checked with the rest of the message.
Json ChatContent(Json content) {
  if (!content.is_array()) {
    return content;
  }
  for (Json& part : content) {
    const Json type = part.is_object() ? part.value("type", Json()) : Json();
    if (type == "input_text" || type == "output_text") {
      part["type"] = "text";
    }
  }
  return content;
}

absl::Status AddItem(const Json& item, size_t index, Json& messages) {
  const std::string where = absl::StrCat("input[", index, "]");
  if (!item.is_object()) {
    return InvalidField(where, absl::StrCat("'", where, "' must be an object"));
  }
  const Json type = item.value("type", Json("message"));
  if (type == "reasoning") {
    return absl::OkStatus();  // what was thought in earlier turns plays no part
  }
  if (type == "function_call" || type == "function_call_output" || type == "item_reference") {
    return WithApiCode(absl::UnimplementedError(absl::StrCat("'", where,
                                                             "' is of a type that this server does not "
                                                             "support; it takes messages")),
                       "unsupported_parameter", where);
  }
  if (type != "message") {
    return InvalidField(where + ".type", absl::StrCat("'", where, ".type' must be 'message'"));
  }
  messages.push_back({{"role", item.value("role", Json())}, {"content", ChatContent(item.value("content", Json()))}});
  return absl::OkStatus();
}

absl::StatusOr<Json> ChatMessages(FieldReader& fields) {
  Json messages = Json::array();
  std::string instructions;
  RETURN_IF_ERROR(fields.String("instructions", {}, instructions));
  if (!instructions.empty()) {
    messages.push_back({{"role", "system"}, {"content", instructions}});
  }
  const Json* input = fields.Find("input");
  if (input == nullptr || (!input->is_string() && !input->is_array()) || input->empty()) {
    return fields.Invalid("input", "a string or an array of messages");
  }
  if (input->is_string()) {
    messages.push_back({{"role", "user"}, {"content", *input}});
    return messages;
  }
  for (size_t i = 0; i < input->size(); ++i) {
    RETURN_IF_ERROR(AddItem((*input)[i], i, messages));
  }
  if (messages.empty()) {
    return fields.Invalid("input", "an array with at least one message");
  }
  return messages;
}

// `text.format` is response_format with the schema's members one level up.
absl::Status AddFormat(FieldReader& fields, Json& chat) {
  ASSIGN_OR_RETURN(const Json* text, fields.Object("text"));
  if (text == nullptr) {
    return absl::OkStatus();
  }
  FieldReader members(*text, "text.");
  members.Find("verbosity");
  ASSIGN_OR_RETURN(const Json* format, members.Object("format"));
  if (format == nullptr) {
    return absl::OkStatus();
  }
  if (format->value("type", Json()) != "json_schema") {
    chat["response_format"] = *format;
    return absl::OkStatus();
  }
  Json schema = *format;
  schema.erase("type");
  chat["response_format"] = {{"type", "json_schema"}, {"json_schema", std::move(schema)}};
  return absl::OkStatus();
}

absl::StatusOr<Json> ToChat(FieldReader& fields) {
  RETURN_IF_ERROR(CheckUnsupported(fields));
  Json chat = Json::object();
  for (const char* name : kShared) {
    if (const Json* value = fields.Find(name)) {
      chat[name] = *value;
    }
  }
  bool store = false;  // nothing is, and the response says so
  RETURN_IF_ERROR(fields.Bool("store", store));
  ASSIGN_OR_RETURN(chat["messages"], ChatMessages(fields));
  int32_t max_tokens = 0;
  RETURN_IF_ERROR(fields.Int("max_output_tokens", {1, std::numeric_limits<int32_t>::max()}, max_tokens));
  if (max_tokens > 0) {
    chat["max_completion_tokens"] = max_tokens;
  }
  ASSIGN_OR_RETURN(const Json* reasoning, fields.Object("reasoning"));
  if (reasoning != nullptr && reasoning->contains("effort")) {
    chat["reasoning_effort"] = (*reasoning)["effort"];
  }
  RETURN_IF_ERROR(AddFormat(fields, chat));
  return chat;
}

// Errors name the field as it is called here.
absl::Status Renamed(const absl::Status& status) {
  const std::string param = ApiParam(status);
  if (absl::StartsWith(param, "messages")) {
    return WithApiCode(status, ApiCode(status), "input");
  }
  return param == "response_format" ? WithApiCode(status, ApiCode(status), "text.format") : status;
}

Json Shown(const Json& json, const CompletionRequest& completion) {
  const auto given = [&json](const char* name, Json otherwise) {
    const auto it = json.find(name);
    return it == json.end() || it->is_null() ? otherwise : *it;
  };
  const Json reasoning = given("reasoning", Json::object());
  return {{"instructions", given("instructions", nullptr)},
          {"max_output_tokens", given("max_output_tokens", nullptr)},
          {"metadata", given("metadata", Json::object())},
          {"parallel_tool_calls", true},
          {"previous_response_id", nullptr},
          {"reasoning", {{"effort", reasoning.value("effort", Json())}, {"summary", nullptr}}},
          {"store", false},
          {"temperature", completion.sampling.temperature},
          {"text", given("text", {{"format", {{"type", "text"}}}})},
          {"tool_choice", "auto"},
          {"tools", Json::array()},
          {"top_p", completion.sampling.top_p},
          {"truncation", "disabled"},
          {"user", given("user", nullptr)}};
}

}  // namespace

absl::StatusOr<ApiResponsesRequest> ParseResponsesRequest(const Json& json, const RequestContext& context) {
  FieldReader fields(json);
  ASSIGN_OR_RETURN(const Json chat, ToChat(fields));
  absl::StatusOr<ApiRequest> parsed = ParseChatRequest(chat, context);
  if (!parsed.ok()) {
    return Renamed(parsed.status());
  }
  ApiResponsesRequest request;
  request.model = std::move(parsed->model);
  request.completion = std::move(parsed->completions.front());
  request.stream = parsed->stream.stream;
  request.shown = Shown(json, request.completion);
  request.ignored = fields.Unknown();
  return request;
}

}  // namespace tandem::router
