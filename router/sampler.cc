#include "router/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace tandem::router {
namespace {

struct Candidate {
  float logit;
  int32_t id;
};

bool Ahead(const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; }

int32_t Greedy(absl::Span<const float> logits) {
  int32_t best = 0;
  float best_logit = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best_logit) {
      best_logit = logits[i];
      best = static_cast<int32_t>(i);
    }
  }
  return best;
}

// Draws from `candidates` with weights exp((logit - top) / temperature), summed in the order given.
int32_t Draw(absl::Span<const Candidate> candidates, float top, double temperature, double uniform) {
  const auto weight = [&](const Candidate& c) { return std::exp((static_cast<double>(c.logit) - top) / temperature); };
  double total = 0;
  for (const Candidate& candidate : candidates) {
    total += weight(candidate);
  }
  double left = uniform * total;
  for (const Candidate& candidate : candidates) {
    left -= weight(candidate);
    if (left < 0) {
      return candidate.id;
    }
  }
  return candidates.back().id;
}

// Keeps the shortest prefix of the ranking that holds top_p of the probability. Ranks only as far as needed.
void KeepTopP(std::vector<Candidate>& candidates, float top, double temperature, double top_p) {
  const auto weight = [&](const Candidate& c) { return std::exp((static_cast<double>(c.logit) - top) / temperature); };
  double total = 0;
  for (const Candidate& candidate : candidates) {
    total += weight(candidate);
  }
  const auto behind = [](const Candidate& a, const Candidate& b) { return Ahead(b, a); };
  std::make_heap(candidates.begin(), candidates.end(), behind);
  std::vector<Candidate> kept;
  double held = 0;
  for (auto end = candidates.end(); end != candidates.begin() && held < top_p * total; --end) {
    std::pop_heap(candidates.begin(), end, behind);
    kept.push_back(*(end - 1));
    held += weight(kept.back());
  }
  candidates = std::move(kept);
}

}  // namespace

double UniformAt(uint64_t seed, uint64_t position) {
  std::array<uint32_t, 4> counter = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), 0, 0};
  std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
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

int32_t SampleToken(absl::Span<const float> logits, const SamplingParams& params, uint64_t seed, uint64_t position) {
  const int32_t greedy = Greedy(logits);
  const float top = logits[greedy];
  if (params.temperature <= 0 || !std::isfinite(top)) {
    return greedy;
  }
  const double temperature = params.temperature;
  const double floor =
      params.min_p > 0 ? top + temperature * std::log(params.min_p) : -std::numeric_limits<double>::infinity();
  std::vector<Candidate> candidates;
  candidates.reserve(params.min_p > 0 ? 64 : logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -std::numeric_limits<float>::infinity() && logits[i] >= floor) {
      candidates.push_back({logits[i], static_cast<int32_t>(i)});
    }
  }
  const size_t top_k = static_cast<size_t>(std::max(params.top_k, 0));
  if (top_k > 0 && top_k < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + top_k, candidates.end(), Ahead);
    candidates.resize(top_k);
  }
  if (params.top_p < 1.0f) {
    KeepTopP(candidates, top, temperature, params.top_p);
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  return Draw(candidates, top, temperature, UniformAt(seed, position));
}

}  // namespace tandem::router
