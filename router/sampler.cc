#include "router/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace tandem::router {

double UniformAt(const SampleKey& where) {
  std::array<uint32_t, 4> counter = {static_cast<uint32_t>(where.position), static_cast<uint32_t>(where.position >> 32),
                                     where.choice, 0};
  std::array<uint32_t, 2> key = {static_cast<uint32_t>(where.seed), static_cast<uint32_t>(where.seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  const uint64_t bits = (static_cast<uint64_t>(counter[0]) << 32) | counter[1];
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

bool Sampler::Ahead(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

void Sampler::CollectAbove(absl::Span<const float> logits, double floor) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -std::numeric_limits<float>::infinity() && logits[i] >= floor) {
      candidates_.push_back({logits[i], static_cast<int32_t>(i)});
    }
  }
}

// A heap of the best so far, its worst on top: nearly every logit is turned away by one comparison.
void Sampler::CollectTopK(absl::Span<const float> logits, double floor, size_t top_k) {
  candidates_.clear();
  float entry = static_cast<float>(std::max<double>(floor, std::numeric_limits<float>::lowest()));
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] >= entry) || logits[i] < floor) {
      continue;
    }
    const Candidate candidate = {logits[i], static_cast<int32_t>(i)};
    if (candidates_.size() == top_k) {
      if (!Ahead(candidate, candidates_.front())) {
        continue;
      }
      std::pop_heap(candidates_.begin(), candidates_.end(), Ahead);
      candidates_.pop_back();
    }
    candidates_.push_back(candidate);
    std::push_heap(candidates_.begin(), candidates_.end(), Ahead);
    if (candidates_.size() == top_k) {
      entry = candidates_.front().logit;
    }
  }
}

// Keeps the shortest prefix of the ranking that holds top_p of the probability. Ranks only as far as needed.
void Sampler::KeepTopP(float top, double temperature, double top_p) {
  const auto weight = [&](const Candidate& c) { return std::exp((static_cast<double>(c.logit) - top) / temperature); };
  double total = 0;
  for (const Candidate& candidate : candidates_) {
    total += weight(candidate);
  }
  // All below this together hold less than 1 - top_p, so none of them is needed.
  const double needless = (1 - top_p) * total / (static_cast<double>(candidates_.size()) + 1);
  const double floor = top + temperature * std::log(needless) - 1e-3;
  std::erase_if(candidates_, [floor](const Candidate& c) { return c.logit < floor; });
  const auto behind = [](const Candidate& a, const Candidate& b) { return Ahead(b, a); };
  std::make_heap(candidates_.begin(), candidates_.end(), behind);
  auto end = candidates_.end();
  for (double held = 0; end != candidates_.begin() && held < top_p * total;) {
    std::pop_heap(candidates_.begin(), end, behind);
    held += weight(*--end);
  }
  candidates_.erase(candidates_.begin(), end);
}

int32_t Sampler::Sample(absl::Span<const float> logits, const SamplingParams& params, const SampleKey& key) {
  const int32_t greedy = compute::ArgMax(logits);
  const float top = logits[greedy];
  if (params.temperature <= 0 || !std::isfinite(top)) {
    return greedy;
  }
  const double temperature = params.temperature;
  const float scale = static_cast<float>(1 / temperature);
  const size_t top_k = params.top_k > 0 ? static_cast<size_t>(params.top_k) : logits.size();
  if (params.min_p <= 0 && params.top_p >= 1.0f && top_k >= logits.size()) {
    weights_.Assign(logits, top, scale);
    return weights_.Draw(UniformAt(key));
  }
  const double floor =
      params.min_p > 0 ? top + temperature * std::log(params.min_p) : -std::numeric_limits<double>::infinity();
  if (top_k < logits.size()) {
    CollectTopK(logits, floor, top_k);
  } else {
    CollectAbove(logits, floor);
  }
  if (params.top_p < 1.0f) {
    KeepTopP(top, temperature, params.top_p);
  }
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  kept_logits_.clear();
  for (const Candidate& candidate : candidates_) {
    kept_logits_.push_back(candidate.logit);
  }
  weights_.Assign(kept_logits_, top, scale);
  return candidates_[weights_.Draw(UniformAt(key))].id;
}

}  // namespace tandem::router
