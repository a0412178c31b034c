#include "router/sampling_fields.h"

#include <algorithm>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

constexpr IntRange kAnswers = {1, 128};
constexpr IntRange kTopLogprobs = {0, 20};
constexpr IntRange kTextLogprobs = {0, 5};
constexpr NumberRange kPenalty = {-2, 2};
constexpr NumberRange kBias = {-100, 100};
constexpr NumberRange kRepetitionPenalty = {.min = 0, .max = 1000, .without_min = true};
constexpr size_t kMaxStopTokens = 256;
constexpr size_t kMaxBiases = 1024;

absl::Status ReadAnswers(FieldReader& fields, int32_t& n) {
  RETURN_IF_ERROR(fields.Int("n", kAnswers, n));
  int32_t best_of = n;
  RETURN_IF_ERROR(fields.Int("best_of", kAnswers, best_of));
  if (best_of == n) {
    return absl::OkStatus();
  }
  return fields.Invalid("best_of", absl::StrCat("equal to n, which is ", n, ": this server does not rank answers"));
}

// {"50256": -100}: as JSON has it, with the ids in strings.
absl::Status ReadLogitBias(FieldReader& fields, int32_t vocab_size, std::vector<std::pair<int32_t, float>>& out) {
  ASSIGN_OR_RETURN(const Json* biases, fields.Object("logit_bias"));
  if (biases == nullptr) {
    return absl::OkStatus();
  }
  if (biases->size() > kMaxBiases) {
    return InvalidField("logit_bias", absl::StrCat("'logit_bias' must have at most ", kMaxBiases, " entries"));
  }
  FieldReader entries(*biases, "logit_bias.");
  for (const auto& [key, value] : biases->items()) {
    int32_t token = 0;
    if (!absl::SimpleAtoi(key, &token) || token < 0 || token >= vocab_size) {
      return InvalidField("logit_bias", absl::StrCat("the keys of 'logit_bias' must be token ids in 0..",
                                                     vocab_size - 1, ", not '", key.substr(0, 60), "'"));
    }
    if (!value.is_number()) {
      return entries.Invalid(key, "a number in [-100, 100]");
    }
    float bias = 0;
    RETURN_IF_ERROR(entries.Number(key, kBias, bias));
    out.emplace_back(token, bias);
  }
  return absl::OkStatus();
}

absl::Status ReadPenalties(FieldReader& fields, SamplingParams& out) {
  RETURN_IF_ERROR(fields.Number("presence_penalty", kPenalty, out.presence_penalty));
  RETURN_IF_ERROR(fields.Number("frequency_penalty", kPenalty, out.frequency_penalty));
  return fields.Number("repetition_penalty", kRepetitionPenalty, out.repetition_penalty);
}

absl::Status ReadTokenRules(FieldReader& fields, int32_t vocab_size, SamplingParams& out) {
  RETURN_IF_ERROR(ReadLogitBias(fields, vocab_size, out.logit_bias));
  const Json* allowed = fields.Find("allowed_token_ids");
  RETURN_IF_ERROR(fields.TokenIds("allowed_token_ids", kUnlimited, vocab_size, out.allowed_token_ids));
  if (allowed != nullptr && out.allowed_token_ids.empty()) {
    return fields.Invalid("allowed_token_ids", "an array with at least one token id");
  }
  return fields.TokenIds("stop_token_ids", kMaxStopTokens, vocab_size, out.stop_token_ids);
}

absl::Status ReadFilters(FieldReader& fields, const GenerationDefaults& defaults, SamplingParams& out) {
  out.temperature = defaults.temperature;
  out.top_p = defaults.top_p;
  out.top_k = defaults.top_k;
  out.min_p = defaults.min_p;
  RETURN_IF_ERROR(fields.Number("temperature", {0, 2}, out.temperature));
  RETURN_IF_ERROR(fields.Number("top_p", {.min = 0, .max = 1, .without_min = true}, out.top_p));
  RETURN_IF_ERROR(fields.Int("top_k", {.min = -1}, out.top_k));
  out.top_k = std::max(out.top_k, 0);
  return fields.Number("min_p", {0, 1}, out.min_p);
}

}  // namespace

absl::Status ReadSampling(FieldReader& fields, const RequestContext& context, SamplingParams& out) {
  RETURN_IF_ERROR(ReadFilters(fields, context.defaults, out));
  RETURN_IF_ERROR(ReadPenalties(fields, out));
  RETURN_IF_ERROR(ReadTokenRules(fields, context.vocab_size, out));
  RETURN_IF_ERROR(ReadAnswers(fields, out.n));
  if (fields.Find("seed") != nullptr) {
    int64_t seed = 0;
    RETURN_IF_ERROR(fields.Int("seed", {}, seed));
    out.seed = static_cast<uint64_t>(seed);
  }
  RETURN_IF_ERROR(fields.Int("min_tokens", {.min = 0}, out.min_tokens));
  if (out.max_tokens > 0 && out.min_tokens > out.max_tokens) {
    return fields.Invalid("min_tokens", absl::StrCat("at most max_tokens, which is ", out.max_tokens));
  }
  return fields.Bool("ignore_eos", out.ignore_eos);
}

absl::Status ReadMaxTokens(FieldReader& fields, int32_t min, int32_t& out) {
  const IntRange range = {min, std::numeric_limits<int32_t>::max()};
  RETURN_IF_ERROR(fields.Int("max_tokens", range, out));
  return fields.Int("max_completion_tokens", range, out);
}

absl::Status ReadChatLogprobs(FieldReader& fields, SamplingParams& out) {
  bool wanted = false;
  int32_t top = 0;
  RETURN_IF_ERROR(fields.Bool("logprobs", wanted));
  RETURN_IF_ERROR(fields.Int("top_logprobs", kTopLogprobs, top));
  if (top > 0 && !wanted) {
    return InvalidField("top_logprobs", "'top_logprobs' needs 'logprobs': true");
  }
  if (wanted) {
    out.logprobs = top;
  }
  return absl::OkStatus();
}

absl::Status ReadTextLogprobs(FieldReader& fields, SamplingParams& out) {
  int32_t top = -1;
  RETURN_IF_ERROR(fields.Int("logprobs", kTextLogprobs, top));
  if (top >= 0) {
    out.logprobs = top;
  }
  return absl::OkStatus();
}

absl::Status ReadPromptLogprobs(FieldReader& fields, SamplingParams& out) {
  int32_t top = -1;
  RETURN_IF_ERROR(fields.Int("prompt_logprobs", kTopLogprobs, top));
  if (top >= 0) {
    out.prompt_logprobs = top;
  }
  return absl::OkStatus();
}

absl::Status ReadTruncation(FieldReader& fields, int32_t max_model_len, std::optional<int32_t>& keep) {
  int32_t tokens = 0;
  RETURN_IF_ERROR(fields.Int("truncate_prompt_tokens", {-1, max_model_len}, tokens));
  if (fields.Find("truncate_prompt_tokens") == nullptr) {
    return absl::OkStatus();
  }
  if (tokens == 0) {
    return fields.Invalid("truncate_prompt_tokens", "at least 1, or -1 for as many as fit");
  }
  keep = tokens;
  return absl::OkStatus();
}

absl::Status ReadService(FieldReader& fields, int32_t& priority, std::string& user, std::string& cache_salt) {
  RETURN_IF_ERROR(fields.Int("priority", {}, priority));
  RETURN_IF_ERROR(fields.String("safety_identifier", {0, 512}, user));
  RETURN_IF_ERROR(fields.String("user", {0, 512}, user));
  return fields.String("cache_salt", {1, 128}, cache_salt);
}

}  // namespace tandem::router
