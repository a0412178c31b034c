// From a JSON request (OpenAI's fields and the usual extensions) to a CompletionRequest: the one place that says which
// fields there are, what they allow, and what their defaults are. gRPC requests come through here as well.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "router/assistant_message.h"
#include "router/completion.h"
#include "router/structured_output.h"

namespace tandem::router {

// Defaults of sampling fields: what generation_config.json says, else the built-in values.
struct GenerationDefaults {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int32_t top_k = 0;
  float min_p = 0.0f;
  int32_t max_tokens = 0;  // 0: as many as the context holds
};

struct RequestContext {
  std::vector<std::string> model_names;  // served names; the first is the model's own
  GenerationDefaults defaults;
  int32_t vocab_size = 0;
  int32_t max_model_len = 0;
  int32_t hidden_size = 0;  // length of an embedding
  OutputFormats formats;    // of the model's answers
  ReasoningField reasoning_field = ReasoningField::kReasoningContent;
  StructuredOutput* structured_output = nullptr;  // null: requests that ask for it, or force tool calls, are refused
};

struct StreamOptions {
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;  // usage on every chunk
};

// What a response tells besides text and usage.
struct ResponseOptions {
  std::optional<int32_t> logprobs;         // how many of the most likely tokens, besides the chosen one
  std::optional<int32_t> prompt_logprobs;  // the same for the prompt
  bool echo = false;                       // the prompt stands before each answer
  bool token_ids = false;                  // of prompt and answers
  ReasoningField reasoning_field = ReasoningField::kReasoningContent;
  bool tokens_as_ids = false;  // log probabilities name tokens "token_id:17"
};

// One request of the API: several prompts, or n above 1, make several choices.
struct ApiRequest {
  std::string model;  // the served name that was asked for
  std::vector<CompletionRequest> completions;
  StreamOptions stream;
  ResponseOptions response;
  std::vector<std::string> ignored;  // unknown fields
};

// Errors: INVALID_ARGUMENT naming the field, NOT_FOUND (model), UNIMPLEMENTED for fields that would change the answer
// but are not supported, PERMISSION_DENIED for a chat template of the client's own.
absl::StatusOr<ApiRequest> ParseChatRequest(const Json& json, const RequestContext& context);
absl::StatusOr<ApiRequest> ParseTextRequest(const Json& json, const RequestContext& context);

// Body of /tokenize: `prompt` or `messages`.
absl::StatusOr<Prompt> ParseTokenizeRequest(const Json& json, const RequestContext& context);

// Checks the name and returns it; the first name when `model` is empty.
absl::StatusOr<std::string> ResolveModel(absl::string_view model, const RequestContext& context);

}  // namespace tandem::router
