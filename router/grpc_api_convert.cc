#include "router/grpc_api_convert.h"

#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/grpc_api_struct.h"

namespace tandem::router {
namespace {

// Fields that are the same in both worlds.
void AddSampling(const chat::v1::GenerationOptions& options, Json& json) {
  if (options.has_temperature()) json["temperature"] = options.temperature();
  if (options.has_top_p()) json["top_p"] = options.top_p();
  if (options.has_top_k()) json["top_k"] = options.top_k();
  if (options.has_min_p()) json["min_p"] = options.min_p();
  if (options.has_presence_penalty()) json["presence_penalty"] = options.presence_penalty();
  if (options.has_frequency_penalty()) json["frequency_penalty"] = options.frequency_penalty();
  if (options.has_repetition_penalty()) json["repetition_penalty"] = options.repetition_penalty();
  for (const auto& [token, bias] : options.logit_bias()) json["logit_bias"][absl::StrCat(token)] = bias;
  if (options.allowed_token_ids_size() > 0) json["allowed_token_ids"] = options.allowed_token_ids();
  if (options.has_seed()) json["seed"] = options.seed();
  if (options.has_n()) json["n"] = options.n();
}

void AddLimits(const chat::v1::GenerationOptions& options, Json& json) {
  if (options.has_max_tokens()) json["max_tokens"] = options.max_tokens();
  if (options.has_min_tokens()) json["min_tokens"] = options.min_tokens();
  if (options.stop_size() > 0) json["stop"] = options.stop();
  if (options.stop_token_ids_size() > 0) json["stop_token_ids"] = options.stop_token_ids();
  if (options.has_ignore_eos()) json["ignore_eos"] = options.ignore_eos();
  if (options.has_include_stop_str_in_output())
    json["include_stop_str_in_output"] = options.include_stop_str_in_output();
  if (options.has_skip_special_tokens()) json["skip_special_tokens"] = options.skip_special_tokens();
  if (options.has_prompt_logprobs()) json["prompt_logprobs"] = options.prompt_logprobs();
}

// Of GenerationOptions or EmbedRequest.
template <class Fields>
void AddService(const Fields& fields, Json& json) {
  if (fields.has_truncate_prompt_tokens()) json["truncate_prompt_tokens"] = fields.truncate_prompt_tokens();
  if (fields.has_priority()) json["priority"] = fields.priority();
  if (fields.has_user()) json["user"] = fields.user();
  if (fields.has_cache_salt()) json["cache_salt"] = fields.cache_salt();
}

absl::StatusOr<Json> OptionsJson(const chat::v1::GenerationOptions& options) {
  Json json = Json::object();
  AddSampling(options, json);
  AddLimits(options, json);
  AddService(options, json);
  if (options.has_response_format()) {
    ASSIGN_OR_RETURN(json["response_format"], StructToJson(options.response_format(), "response_format"));
  }
  if (options.has_structured_outputs()) {
    ASSIGN_OR_RETURN(json["structured_outputs"], StructToJson(options.structured_outputs(), "structured_outputs"));
  }
  return json;
}

Json MessageJson(const chat::v1::ChatMessage& message) {
  Json json = {{"role", message.role()}};
  json["content"] = message.has_content() ? Json(message.content()) : Json();
  if (message.has_name()) json["name"] = message.name();
  if (message.has_reasoning_content()) json["reasoning_content"] = message.reasoning_content();
  if (message.has_tool_call_id()) json["tool_call_id"] = message.tool_call_id();
  for (const chat::v1::ToolCall& call : message.tool_calls()) {
    json["tool_calls"].push_back({{"id", call.id()},
                                  {"type", "function"},
                                  {"function", {{"name", call.name()}, {"arguments", call.arguments()}}}});
  }
  return json;
}

absl::StatusOr<Json> ToolJson(const chat::v1::Tool& tool) {
  Json function = {{"name", tool.name()}};
  if (tool.has_description()) function["description"] = tool.description();
  if (tool.has_parameters()) {
    ASSIGN_OR_RETURN(function["parameters"], StructToJson(tool.parameters(), "tools"));
  }
  if (tool.has_strict()) function["strict"] = tool.strict();
  return Json({{"type", "function"}, {"function", std::move(function)}});
}

Json ToolChoiceJson(const chat::v1::ToolChoice& choice) {
  if (choice.has_name()) {
    return {{"type", "function"}, {"function", {{"name", choice.name()}}}};
  }
  switch (choice.mode()) {
    case chat::v1::TOOL_CHOICE_MODE_NONE:
      return "none";
    case chat::v1::TOOL_CHOICE_MODE_REQUIRED:
      return "required";
    default:
      return "auto";
  }
}

template <class Request>
absl::Status AddTools(const Request& request, Json& json) {
  for (const chat::v1::Tool& tool : request.tools()) {
    ASSIGN_OR_RETURN(Json tool_json, ToolJson(tool));
    json["tools"].push_back(std::move(tool_json));
  }
  if (request.has_tool_choice()) json["tool_choice"] = ToolChoiceJson(request.tool_choice());
  if (request.has_parallel_tool_calls()) json["parallel_tool_calls"] = request.parallel_tool_calls();
  if (request.has_include_reasoning()) json["include_reasoning"] = request.include_reasoning();
  return absl::OkStatus();
}

template <class Request>
constexpr bool kIsStream =
    std::is_same_v<Request, chat::v1::ChatStreamRequest> || std::is_same_v<Request, chat::v1::CompleteStreamRequest>;

template <class Request>
absl::StatusOr<ApiRequest> ParseChat(const Request& request, const RequestContext& context) {
  ASSIGN_OR_RETURN(Json json, OptionsJson(request.options()));
  if (request.options().has_logprobs()) {
    json["logprobs"] = true;
    json["top_logprobs"] = request.options().logprobs();
  }
  json["stream"] = kIsStream<Request>;
  json["model"] = request.model();
  json["messages"] = Json::array();
  for (const chat::v1::ChatMessage& message : request.messages()) {
    json["messages"].push_back(MessageJson(message));
  }
  if (request.has_chat_template_kwargs()) {
    ASSIGN_OR_RETURN(json["chat_template_kwargs"], StructToJson(request.chat_template_kwargs(), "chat_template_kwargs"));
  }
  if (request.has_add_generation_prompt()) json["add_generation_prompt"] = request.add_generation_prompt();
  if (request.has_continue_final_message()) json["continue_final_message"] = request.continue_final_message();
  if (request.has_reasoning_effort()) json["reasoning_effort"] = request.reasoning_effort();
  RETURN_IF_ERROR(AddTools(request, json));
  return ParseChatRequest(json, context);
}

template <class Request>
absl::StatusOr<ApiRequest> ParseComplete(const Request& request, const RequestContext& context) {
  ASSIGN_OR_RETURN(Json json, OptionsJson(request.options()));
  if (request.options().has_logprobs()) json["logprobs"] = request.options().logprobs();
  json["stream"] = kIsStream<Request>;
  json["model"] = request.model();
  if (request.has_text()) json["prompt"] = request.text();
  if (request.has_tokens()) {
    json["prompt"] = std::vector<int64_t>(request.tokens().ids().begin(), request.tokens().ids().end());
  }
  if (request.has_add_special_tokens()) json["add_special_tokens"] = request.add_special_tokens();
  return ParseTextRequest(json, context);
}

}  // namespace

absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::ChatRequest& request, const RequestContext& context) {
  return ParseChat(request, context);
}
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::ChatStreamRequest& request, const RequestContext& context) {
  return ParseChat(request, context);
}
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::CompleteRequest& request, const RequestContext& context) {
  return ParseComplete(request, context);
}
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::CompleteStreamRequest& request, const RequestContext& context) {
  return ParseComplete(request, context);
}

absl::StatusOr<ApiEmbeddingRequest> ToApiRequest(const chat::v1::EmbedRequest& request, const RequestContext& context) {
  Json json = {{"model", request.model()}, {"input", Json::array()}};
  for (const chat::v1::EmbedInput& input : request.inputs()) {
    json["input"].push_back(input.has_tokens() ? Json(input.tokens().ids()) : Json(input.text()));
  }
  if (request.has_dimensions()) json["dimensions"] = request.dimensions();
  if (request.pooling() == chat::v1::POOLING_MEAN) json["pooling"] = "mean";
  if (request.has_add_special_tokens()) json["add_special_tokens"] = request.add_special_tokens();
  AddService(request, json);
  return ParseEmbeddingRequest(json, context);
}

void FillLogprobs(const PositionLogprobs& position, const TextCodec& codec, chat::v1::PositionLogprobs& out) {
  const auto fill = [&codec](const TokenLogprob& from, chat::v1::TokenLogprob& to) {
    to.set_token_id(from.token);
    to.set_token(codec.TokenBytes(from.token));
    to.set_logprob(from.logprob);
    to.set_rank(from.rank);
  };
  fill(position.chosen, *out.mutable_chosen());
  for (const TokenLogprob& likely : position.top) {
    fill(likely, *out.add_top());
  }
}

void FillEmbeddings(const EmbeddingResult& result, chat::v1::EmbedResponse& out) {
  for (const std::vector<float>& vector : result.vectors) {
    out.add_embeddings()->mutable_values()->Add(vector.begin(), vector.end());
  }
  out.set_prompt_tokens(result.prompt_tokens);
}

void AppendAnswer(const CompletionDelta& delta, chat::v1::ChatMessage& message) {
  message.mutable_content();  // there, even if empty
  for (const OutputEvent& event : delta.events.list()) {
    switch (event.kind) {
      case OutputEvent::Kind::kContent:
        message.mutable_content()->append(event.text);
        break;
      case OutputEvent::Kind::kReasoning:
        message.mutable_reasoning_content()->append(event.text);
        break;
      case OutputEvent::Kind::kToolCall:
        message.add_tool_calls()->set_id(event.id);
        message.mutable_tool_calls()->rbegin()->set_name(event.name);
        break;
      case OutputEvent::Kind::kArguments:
        message.mutable_tool_calls()->rbegin()->mutable_arguments()->append(event.text);
        break;
    }
  }
}

void AppendAnswer(const CompletionDelta& delta, chat::v1::ChatStreamResponse& out) {
  for (const OutputEvent& event : delta.events.list()) {
    switch (event.kind) {
      case OutputEvent::Kind::kContent:
        out.mutable_text()->append(event.text);
        break;
      case OutputEvent::Kind::kReasoning:
        out.mutable_reasoning_text()->append(event.text);
        break;
      default:
        chat::v1::ToolCallDelta& call = *out.add_tool_calls();
        call.set_index(event.tool_index);
        call.set_id(event.id);
        call.set_name(event.name);
        call.set_arguments(event.text);
        break;
    }
  }
}

chat::v1::FinishReason ToProto(FinishReason reason, bool has_tool_calls) {
  switch (reason) {
    case FinishReason::kStop:
      return has_tool_calls ? chat::v1::FINISH_REASON_TOOL_CALLS : chat::v1::FINISH_REASON_STOP;
    case FinishReason::kLength:
      return chat::v1::FINISH_REASON_LENGTH;
    default:
      return chat::v1::FINISH_REASON_UNSPECIFIED;
  }
}

void FillUsage(const Usage& usage, chat::v1::Usage& out) {
  out.set_prompt_tokens(usage.prompt_tokens);
  out.set_completion_tokens(usage.completion_tokens);
  out.set_cached_tokens(usage.cached_tokens);
  out.set_reasoning_tokens(usage.reasoning_tokens);
}

}  // namespace tandem::router
