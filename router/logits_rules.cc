#include "router/logits_rules.h"

#include <algorithm>
#include <limits>

namespace tandem::router {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

void Forbid(absl::Span<float> logits, absl::Span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    if (token >= 0 && token < static_cast<int32_t>(logits.size())) {
      logits[token] = kForbidden;
    }
  }
}

void KeepOnly(absl::Span<float> logits, absl::Span<const uint64_t> mask) {
  for (size_t word = 0; word * 64 < logits.size(); ++word) {
    const uint64_t bits = word < mask.size() ? mask[word] : 0;
    const size_t end = std::min(logits.size(), word * 64 + 64);
    if (bits == ~uint64_t{0}) {
      continue;
    }
    if (bits == 0) {
      std::fill(logits.begin() + word * 64, logits.begin() + end, kForbidden);
      continue;
    }
    for (size_t i = word * 64; i < end; ++i) {
      logits[i] = (bits >> (i % 64) & 1) != 0 ? logits[i] : kForbidden;
    }
  }
}

}  // namespace

LogitsRules::LogitsRules(const SamplingParams& params, absl::Span<const int32_t> prompt,
                         absl::Span<const int32_t> end_tokens)
    : params_(params), end_tokens_(end_tokens.begin(), end_tokens.end()) {
  end_tokens_.insert(end_tokens_.end(), params.stop_token_ids.begin(), params.stop_token_ids.end());
  for (const int32_t token : params.allowed_token_ids) {
    const size_t word = static_cast<size_t>(token) / 64;
    allowed_.resize(std::max(allowed_.size(), word + 1));
    allowed_[word] |= uint64_t{1} << (token % 64);
  }
  if (params.repetition_penalty != 1) {
    for (const int32_t token : prompt) {
      seen_[token].in_prompt = true;
    }
  }
  has_rules_ =
      params.has_penalties() || !allowed_.empty() || !params.logit_bias.empty() || params.min_tokens > 0;
}

void LogitsRules::Count(int32_t token) {
  if (params_.has_penalties()) {
    ++seen_[token].generated;
  }
}

void LogitsRules::Apply(absl::Span<float> logits, int64_t generated, absl::Span<const uint64_t> mask) const {
  if (!allowed_.empty()) {
    KeepOnly(logits, allowed_);
  }
  if (!mask.empty()) {
    KeepOnly(logits, mask);
  }
  for (const auto& [token, bias] : params_.logit_bias) {
    if (token >= 0 && token < static_cast<int32_t>(logits.size())) {
      logits[token] += bias;
    }
  }
  if (generated < params_.min_tokens && !AllowsOnlyEnds(mask)) {
    Forbid(logits, end_tokens_);
  }
  Penalize(logits);
}

// A constraint that is complete ends the answer, however short.
bool LogitsRules::AllowsOnlyEnds(absl::Span<const uint64_t> mask) const {
  const auto is_end = [&](size_t word) {
    uint64_t ends = 0;
    for (const int32_t token : end_tokens_) {
      ends |= token >= 0 && static_cast<size_t>(token) / 64 == word ? uint64_t{1} << (token % 64) : 0;
    }
    return (mask[word] & ~ends) == 0;
  };
  for (size_t word = 0; word < mask.size(); ++word) {
    if (mask[word] != 0 && !is_end(word)) {
      return false;
    }
  }
  return !mask.empty();
}

// Repetition as in CTRL (arXiv:1909.05858, section 4.1), the other two as in OpenAI's API.
void LogitsRules::Penalize(absl::Span<float> logits) const {
  for (const auto& [token, seen] : seen_) {
    float& logit = logits[token];
    logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    if (seen.generated > 0) {
      logit -= params_.frequency_penalty * static_cast<float>(seen.generated) + params_.presence_penalty;
    }
  }
}

}  // namespace tandem::router
