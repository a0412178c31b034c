#include "router/request_parser.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"
#include "router/chat_messages.h"
#include "router/field_reader.h"
#include "router/output_fields.h"
#include "router/prompt_fields.h"
#include "router/sampling_fields.h"

namespace tandem::router {
namespace {

constexpr ListLimits kStopLimits = {.max_items = 16, .max_bytes = 1024};
constexpr size_t kMaxPrompts = 256;
constexpr size_t kMaxChoices = 1024;
constexpr int32_t kTextMaxTokens = 16;  // OpenAI's default for /v1/completions

// Fields that would change the answer if they were ignored, with the values that do not.
struct Unsupported {
  const char* name;
  const char* neutral;  // a JSON array
};

constexpr Unsupported kUnsupported[] = {
    {"suffix", "[\"\"]"},           {"bad_words", "[[]]"},    {"thinking_token_budget", "[]"},
    {"use_beam_search", "[false]"}, {"prompt_embeds", "[]"},
};

// Known to clients, without meaning here.
constexpr const char* kIgnored[] = {"metadata",  "store",      "service_tier", "prompt_cache_key",
                                    "verbosity", "modalities", "session_id",   "request_id"};

absl::Status CheckUnsupported(FieldReader& fields) {
  for (const Unsupported& field : kUnsupported) {
    const Json* value = fields.Find(field.name);
    if (value == nullptr) continue;
    const Json neutral = Json::parse(field.neutral);
    if (std::find(neutral.begin(), neutral.end(), *value) == neutral.end()) {
      return UnsupportedField(field.name);
    }
  }
  for (const char* name : {"chat_template", "documents"}) {
    if (fields.Find(name) != nullptr) {
      return WithApiCode(absl::PermissionDeniedError(absl::StrCat("'", name, "' is not allowed on this server")),
                         "forbidden_parameter", name);
    }
  }
  for (const char* name : kIgnored) {
    fields.Find(name);
  }
  return absl::OkStatus();
}

absl::Status ReadStream(FieldReader& fields, StreamOptions& out) {
  RETURN_IF_ERROR(fields.Bool("stream", out.stream));
  ASSIGN_OR_RETURN(const Json* options, fields.Object("stream_options"));
  if (options == nullptr) {
    return absl::OkStatus();
  }
  if (!out.stream) {
    return InvalidField("stream_options", "'stream_options' is only allowed together with 'stream': true");
  }
  FieldReader nested(*options, "stream_options.");
  RETURN_IF_ERROR(nested.Bool("include_usage", out.include_usage));
  return nested.Bool("continuous_usage_stats", out.continuous_usage);
}

// What chat and text requests share, but for the prompts; `shared` is the model for each completion, whose max_tokens
// is there already.
absl::Status ReadCommon(FieldReader& fields, const RequestContext& context, ApiRequest& request,
                        CompletionRequest& shared) {
  std::string model;
  RETURN_IF_ERROR(fields.String("model", {}, model));
  ASSIGN_OR_RETURN(request.model, ResolveModel(model, context));
  RETURN_IF_ERROR(CheckUnsupported(fields));
  RETURN_IF_ERROR(ReadSampling(fields, context, shared.sampling));
  RETURN_IF_ERROR(ReadPromptLogprobs(fields, shared.sampling));
  RETURN_IF_ERROR(fields.Strings("stop", kStopLimits, shared.stop));
  RETURN_IF_ERROR(fields.Bool("include_stop_str_in_output", shared.include_stop_in_output));
  RETURN_IF_ERROR(fields.Bool("skip_special_tokens", shared.skip_special_tokens));
  RETURN_IF_ERROR(ReadTruncation(fields, context.max_model_len, shared.truncate_prompt_tokens));
  RETURN_IF_ERROR(ReadService(fields, shared.priority, shared.user, shared.cache_salt));
  RETURN_IF_ERROR(fields.Bool("return_token_ids", request.response.token_ids));
  RETURN_IF_ERROR(fields.Bool("return_tokens_as_token_ids", request.response.tokens_as_ids));
  return ReadStream(fields, request.stream);
}

// The response follows what was asked of the engine.
absl::Status FinishResponse(const SamplingParams& sampling, ApiRequest& request) {
  request.response.logprobs = sampling.logprobs;
  request.response.prompt_logprobs = sampling.prompt_logprobs;
  if (request.stream.stream && sampling.prompt_logprobs.has_value()) {
    return InvalidField("prompt_logprobs", "'prompt_logprobs' cannot be used with 'stream': true");
  }
  return absl::OkStatus();
}

// `echo`: the prompt before the answer, with its log probabilities where those of the answer are asked for.
absl::Status ReadEcho(FieldReader& fields, ApiRequest& request, CompletionRequest& shared) {
  bool& echo = request.response.echo;
  RETURN_IF_ERROR(fields.Bool("echo", echo));
  if (echo && request.stream.stream) {
    return InvalidField("echo", "'echo' cannot be used with 'stream': true");
  }
  shared.prompt_only = shared.sampling.max_tokens == 0;
  if (shared.prompt_only && !echo) {
    return fields.Invalid("max_tokens", "at least 1 without 'echo'");
  }
  if (echo && shared.sampling.logprobs.has_value()) {
    shared.sampling.prompt_logprobs = std::max(*shared.sampling.logprobs, shared.sampling.prompt_logprobs.value_or(0));
  }
  return absl::OkStatus();
}

// Switches of the thinking mode, in the words that templates know.
absl::Status ReadThinking(FieldReader& fields, Json& kwargs) {
  if (const Json* effort = fields.Find("reasoning_effort")) {
    constexpr const char* kEfforts[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
    if (std::find(std::begin(kEfforts), std::end(kEfforts), *effort) == std::end(kEfforts)) {
      return fields.Invalid("reasoning_effort", "one of none, minimal, low, medium, high, xhigh, max");
    }
    kwargs["reasoning_effort"] = *effort;
    kwargs["enable_thinking"] = *effort != "none";
  }
  if (const Json* thinking = fields.Find("thinking")) {
    const Json type = thinking->is_object() ? thinking->value("type", Json()) : Json();
    if (type != "enabled" && type != "disabled") {
      return fields.Invalid("thinking", "{\"type\": \"enabled\"} or {\"type\": \"disabled\"}");
    }
    kwargs["thinking"] = kwargs["enable_thinking"] = type == "enabled";
  }
  ASSIGN_OR_RETURN(const Json* explicit_kwargs, fields.Object("chat_template_kwargs"));
  if (explicit_kwargs != nullptr) {
    kwargs.update(*explicit_kwargs);
  }
  return absl::OkStatus();
}

absl::StatusOr<ChatPrompt> ReadChatPrompt(FieldReader& fields) {
  ChatPrompt prompt;
  ASSIGN_OR_RETURN(prompt.messages, NormaliseMessages(fields.Find("messages")));
  PromptOptions& options = prompt.options;
  RETURN_IF_ERROR(fields.Bool("continue_final_message", options.continue_final_message));
  options.add_generation_prompt = !options.continue_final_message;
  RETURN_IF_ERROR(fields.Bool("add_generation_prompt", options.add_generation_prompt));
  if (options.add_generation_prompt && options.continue_final_message) {
    return InvalidField("continue_final_message",
                        "'continue_final_message' and 'add_generation_prompt' cannot both be true");
  }
  RETURN_IF_ERROR(fields.Bool("add_special_tokens", prompt.add_special_tokens));
  RETURN_IF_ERROR(ReadThinking(fields, options.kwargs));
  return prompt;
}

}  // namespace

absl::StatusOr<std::string> ResolveModel(absl::string_view model, const RequestContext& context) {
  if (model.empty()) {
    return context.model_names.front();
  }
  if (std::find(context.model_names.begin(), context.model_names.end(), model) == context.model_names.end()) {
    return WithApiCode(
        absl::NotFoundError(absl::StrCat("the model '", model.substr(0, 200), "' does not exist; this server has '",
                                         context.model_names.front(), "'")),
        "model_not_found", "model");
  }
  return std::string(model);
}

absl::StatusOr<ApiRequest> ParseChatRequest(const Json& json, const RequestContext& context) {
  FieldReader fields(json);
  ApiRequest request;
  CompletionRequest completion;
  completion.sampling.max_tokens = context.defaults.max_tokens;
  RETURN_IF_ERROR(ReadMaxTokens(fields, /*min=*/1, completion.sampling.max_tokens));
  RETURN_IF_ERROR(ReadCommon(fields, context, request, completion));
  RETURN_IF_ERROR(ReadChatLogprobs(fields, completion.sampling));
  bool echo = false;
  RETURN_IF_ERROR(fields.Bool("echo", echo));
  if (echo) {
    return UnsupportedField("echo");
  }
  RETURN_IF_ERROR(FinishResponse(completion.sampling, request));
  request.response.reasoning_field = context.reasoning_field;
  ASSIGN_OR_RETURN(ChatPrompt prompt, ReadChatPrompt(fields));
  RETURN_IF_ERROR(ReadChatOutput(fields, context, prompt, completion));
  completion.prompt = std::move(prompt);
  request.completions.push_back(std::move(completion));
  request.ignored = fields.Unknown();
  return request;
}

absl::StatusOr<ApiRequest> ParseTextRequest(const Json& json, const RequestContext& context) {
  FieldReader fields(json);
  ApiRequest request;
  CompletionRequest shared;
  shared.sampling.max_tokens = context.defaults.max_tokens > 0 ? context.defaults.max_tokens : kTextMaxTokens;
  RETURN_IF_ERROR(ReadMaxTokens(fields, /*min=*/0, shared.sampling.max_tokens));
  RETURN_IF_ERROR(ReadCommon(fields, context, request, shared));
  RETURN_IF_ERROR(ReadTextLogprobs(fields, shared.sampling));
  RETURN_IF_ERROR(FinishResponse(shared.sampling, request));
  RETURN_IF_ERROR(ReadEcho(fields, request, shared));
  RETURN_IF_ERROR(ReadTextOutput(fields, context, shared));
  ASSIGN_OR_RETURN(std::vector<Prompt> prompts, ReadPrompts(fields, "prompt", kMaxPrompts, context.vocab_size));
  if (prompts.size() * shared.sampling.n > kMaxChoices) {
    return InvalidField("n", absl::StrCat("'n' times the number of prompts must be at most ", kMaxChoices));
  }
  for (Prompt& prompt : prompts) {
    request.completions.push_back(shared);
    request.completions.back().prompt = std::move(prompt);
  }
  request.ignored = fields.Unknown();
  return request;
}

absl::StatusOr<Prompt> ParseTokenizeRequest(const Json& json, const RequestContext& context) {
  FieldReader fields(json);
  std::string model;
  RETURN_IF_ERROR(fields.String("model", {}, model));
  RETURN_IF_ERROR(ResolveModel(model, context).status());
  if (fields.Find("messages") != nullptr) {
    ASSIGN_OR_RETURN(ChatPrompt chat, ReadChatPrompt(fields));
    return Prompt(std::move(chat));
  }
  TextPrompt prompt;
  if (fields.Find("prompt") == nullptr) {
    return fields.Invalid("prompt", "given as a string, or 'messages' instead");
  }
  RETURN_IF_ERROR(fields.String("prompt", {}, prompt.text));
  RETURN_IF_ERROR(fields.Bool("add_special_tokens", prompt.add_special_tokens));
  return Prompt(std::move(prompt));
}

}  // namespace tandem::router
