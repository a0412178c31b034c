#include "router/request_parser.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"
#include "router/chat_messages.h"
#include "router/field_reader.h"

namespace tandem::router {
namespace {

constexpr ListLimits kStopLimits = {.max_items = 16, .max_bytes = 1024};
constexpr size_t kMaxStopTokens = 256;
constexpr size_t kMaxPrompts = 256;
constexpr IntRange kChoices = {1, 128};
constexpr NumberRange kPenalty = {-2, 2};
constexpr int32_t kTextMaxTokens = 16;  // OpenAI's default for /v1/completions
constexpr IntRange kMaxTokens = {1, std::numeric_limits<int32_t>::max()};

// Fields that would change the answer if they were ignored, with the values that do not.
struct Unsupported {
  const char* name;
  const char* neutral;  // a JSON array
};

constexpr Unsupported kUnsupported[] = {
    {"n", "[1]"},
    {"best_of", "[1]"},
    {"echo", "[false]"},
    {"suffix", "[\"\"]"},
    {"logprobs", "[false]"},
    {"top_logprobs", "[0]"},
    {"prompt_logprobs", "[0]"},
    {"presence_penalty", "[0]"},
    {"frequency_penalty", "[0]"},
    {"repetition_penalty", "[1]"},
    {"logit_bias", "[{}]"},
    {"bad_words", "[[]]"},
    {"allowed_token_ids", "[]"},
    {"tools", "[]"},
    {"functions", "[]"},
    {"tool_choice", "[\"none\",\"auto\"]"},
    {"function_call", "[\"none\",\"auto\"]"},
    {"response_format", "[{\"type\":\"text\"}]"},
    {"structured_outputs", "[]"},
    {"guided_json", "[]"},
    {"guided_regex", "[]"},
    {"guided_choice", "[]"},
    {"guided_grammar", "[]"},
    {"truncate_prompt_tokens", "[]"},
    {"thinking_token_budget", "[]"},
    {"use_beam_search", "[false]"},
    {"prompt_embeds", "[]"},
};

// Known to clients, without meaning here.
constexpr const char* kIgnored[] = {"user",         "metadata",          "store",
                                    "service_tier", "safety_identifier", "prompt_cache_key",
                                    "verbosity",    "modalities",        "parallel_tool_calls",
                                    "priority",     "session_id",        "cache_salt",
                                    "request_id"};

absl::Status CheckUnsupported(FieldReader& fields) {
  for (const Unsupported& field : kUnsupported) {
    const Json* value = fields.Find(field.name);
    if (value == nullptr) continue;
    const Json neutral = Json::parse(field.neutral);
    if (std::find(neutral.begin(), neutral.end(), *value) == neutral.end()) {
      return WithApiCode(absl::UnimplementedError(
                             absl::StrCat("'", field.name, "' is not supported by this server yet; leave it out")),
                         "unsupported_parameter", field.name);
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

// Types and ranges of fields that are refused later anyway: a wrong type is the clearer complaint.
absl::Status CheckRangesOfUnsupported(FieldReader& fields) {
  int64_t choices = 1;
  float penalty = 0;
  RETURN_IF_ERROR(fields.Int("n", kChoices, choices));
  RETURN_IF_ERROR(fields.Number("presence_penalty", kPenalty, penalty));
  RETURN_IF_ERROR(fields.Number("frequency_penalty", kPenalty, penalty));
  return absl::OkStatus();
}

absl::Status ReadMaxTokens(FieldReader& fields, const GenerationDefaults& defaults, int32_t& out) {
  int32_t modern = 0;
  int32_t legacy = defaults.max_tokens;
  RETURN_IF_ERROR(fields.Int("max_completion_tokens", kMaxTokens, modern));
  RETURN_IF_ERROR(fields.Int("max_tokens", kMaxTokens, legacy));
  out = modern > 0 ? modern : legacy;
  return absl::OkStatus();
}

absl::Status ReadSampling(FieldReader& fields, const RequestContext& context, SamplingParams& out) {
  const GenerationDefaults& defaults = context.defaults;
  out.temperature = defaults.temperature;
  out.top_p = defaults.top_p;
  out.top_k = defaults.top_k;
  out.min_p = defaults.min_p;
  RETURN_IF_ERROR(fields.Number("temperature", {0, 2}, out.temperature));
  RETURN_IF_ERROR(fields.Number("top_p", {.min = 0, .max = 1, .without_min = true}, out.top_p));
  RETURN_IF_ERROR(fields.Int("top_k", {.min = -1}, out.top_k));
  out.top_k = std::max(out.top_k, 0);
  RETURN_IF_ERROR(fields.Number("min_p", {0, 1}, out.min_p));
  if (fields.Find("seed") != nullptr) {
    int64_t seed = 0;
    RETURN_IF_ERROR(fields.Int("seed", {}, seed));
    out.seed = static_cast<uint64_t>(seed);
  }
  RETURN_IF_ERROR(ReadMaxTokens(fields, defaults, out.max_tokens));
  RETURN_IF_ERROR(fields.Int("min_tokens", {.min = 0}, out.min_tokens));
  if (out.max_tokens > 0 && out.min_tokens > out.max_tokens) {
    return fields.Invalid("min_tokens", absl::StrCat("at most max_tokens, which is ", out.max_tokens));
  }
  RETURN_IF_ERROR(fields.Bool("ignore_eos", out.ignore_eos));
  return fields.TokenIds("stop_token_ids", kMaxStopTokens, context.vocab_size, out.stop_token_ids);
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

// What chat and text requests share. Fills everything but the prompts; `shared` is the model for each completion.
absl::Status ReadCommon(FieldReader& fields, const RequestContext& context, ApiRequest& request,
                        CompletionRequest& shared) {
  std::string model;
  RETURN_IF_ERROR(fields.String("model", model));
  ASSIGN_OR_RETURN(request.model, ResolveModel(model, context));
  RETURN_IF_ERROR(CheckRangesOfUnsupported(fields));
  RETURN_IF_ERROR(CheckUnsupported(fields));
  RETURN_IF_ERROR(ReadSampling(fields, context, shared.sampling));
  RETURN_IF_ERROR(fields.Strings("stop", kStopLimits, shared.stop));
  RETURN_IF_ERROR(fields.Bool("include_stop_str_in_output", shared.include_stop_in_output));
  RETURN_IF_ERROR(fields.Bool("skip_special_tokens", shared.skip_special_tokens));
  return ReadStream(fields, request.stream);
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

// A string, an array of token ids, or an array of either.
absl::StatusOr<std::vector<Prompt>> ReadTextPrompts(FieldReader& fields, const RequestContext& context) {
  const Json* value = fields.Find("prompt");
  if (value == nullptr) {
    return fields.Invalid("prompt", "given: a string, an array of token ids, or an array of these");
  }
  bool add_special_tokens = true;
  RETURN_IF_ERROR(fields.Bool("add_special_tokens", add_special_tokens));
  const bool is_list = value->is_array() && !value->empty() && !value->front().is_number();
  const Json list = is_list ? *value : Json::array({*value});
  if (list.size() > kMaxPrompts) {
    return InvalidField("prompt",
                        absl::StrCat("'prompt' must have at most ", kMaxPrompts, " entries, not ", list.size()));
  }
  std::vector<Prompt> prompts;
  for (const Json& item : list) {
    if (item.is_string()) {
      prompts.push_back(TextPrompt{item.get<std::string>(), add_special_tokens});
      continue;
    }
    const Json holder = {{"prompt", item}};
    TokenPrompt tokens;
    RETURN_IF_ERROR(FieldReader(holder).TokenIds("prompt", kUnlimited, context.vocab_size, tokens));
    prompts.push_back(std::move(tokens));
  }
  return prompts;
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
  RETURN_IF_ERROR(ReadCommon(fields, context, request, completion));
  ASSIGN_OR_RETURN(completion.prompt, ReadChatPrompt(fields));
  request.completions.push_back(std::move(completion));
  request.ignored = fields.Unknown();
  return request;
}

absl::StatusOr<ApiRequest> ParseTextRequest(const Json& json, const RequestContext& context) {
  FieldReader fields(json);
  ApiRequest request;
  CompletionRequest shared;
  RETURN_IF_ERROR(ReadCommon(fields, context, request, shared));
  if (shared.sampling.max_tokens == 0) {
    shared.sampling.max_tokens = kTextMaxTokens;
  }
  ASSIGN_OR_RETURN(std::vector<Prompt> prompts, ReadTextPrompts(fields, context));
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
  RETURN_IF_ERROR(fields.String("model", model));
  RETURN_IF_ERROR(ResolveModel(model, context).status());
  if (fields.Find("messages") != nullptr) {
    ASSIGN_OR_RETURN(ChatPrompt chat, ReadChatPrompt(fields));
    return Prompt(std::move(chat));
  }
  TextPrompt prompt;
  if (fields.Find("prompt") == nullptr) {
    return fields.Invalid("prompt", "given as a string, or 'messages' instead");
  }
  RETURN_IF_ERROR(fields.String("prompt", prompt.text));
  RETURN_IF_ERROR(fields.Bool("add_special_tokens", prompt.add_special_tokens));
  return Prompt(std::move(prompt));
}

}  // namespace tandem::router
