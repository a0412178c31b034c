// The fields that say how tokens are chosen, as all generating endpoints share them.
//
// Errors of all functions: INVALID_ARGUMENT naming the field, UNIMPLEMENTED for best_of above n.
#pragma once

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

}  // namespace tandem::router
