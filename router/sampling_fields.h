// Fields that several endpoints share: how tokens are chosen, and how a request is served among others.
//
// Errors of all functions: INVALID_ARGUMENT naming the field.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "router/field_reader.h"
#include "router/request_parser.h"

namespace tandem::router {

// Everything of SamplingParams but max_tokens (ReadMaxTokens comes first) and the log probabilities.
absl::Status ReadSampling(FieldReader& fields, const RequestContext& context, SamplingParams& out);

// max_completion_tokens, else max_tokens, else `out` as it is. Requests may ask for at least `min`.
absl::Status ReadMaxTokens(FieldReader& fields, int32_t min, int32_t& out);

// Chat: `logprobs` is true or false, and `top_logprobs` stands beside it.
absl::Status ReadChatLogprobs(FieldReader& fields, SamplingParams& out);
// Text completions: `logprobs` is the number of most likely tokens.
absl::Status ReadTextLogprobs(FieldReader& fields, SamplingParams& out);
// vLLM's `prompt_logprobs`, for both.
absl::Status ReadPromptLogprobs(FieldReader& fields, SamplingParams& out);

// How many of a prompt's last tokens are used; -1: as many as fit.
absl::Status ReadTruncation(FieldReader& fields, int32_t max_model_len, std::optional<int32_t>& keep);

// Whose request it is (`safety_identifier` stands in for `user`), and how it is served among others.
absl::Status ReadService(FieldReader& fields, int32_t& priority, std::string& user, std::string& cache_salt);

}  // namespace tandem::router
