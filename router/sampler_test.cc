#include "router/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace tandem::router {
namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

SamplingParams Params(float temperature) {
  SamplingParams params;
  params.temperature = temperature;
  return params;
}

// Known answer of the generator's authors: Philox4x32-10 with counter and key 0 begins with 6627e8d5 e169c58d.
TEST(UniformAt, IsPhilox) {
  const uint64_t bits = (uint64_t{0x6627e8d5} << 32) | 0xe169c58d;
  EXPECT_EQ(UniformAt({}), static_cast<double>(bits >> 11) * 0x1.0p-53);
}

int32_t SampleToken(absl::Span<const float> logits, const SamplingParams& params, uint64_t seed, uint64_t position) {
  return Sampler().Sample(logits, params, {.seed = seed, .position = position});
}

TEST(UniformAt, DependsOnSeedPositionAndChoice) {
  EXPECT_NE(UniformAt({.seed = 1, .position = 5}), UniformAt({.seed = 1, .position = 5, .choice = 1}));
  EXPECT_NE(UniformAt({.seed = 1, .position = 5}), UniformAt({.seed = 2, .position = 5}));
  EXPECT_NE(UniformAt({.seed = 1, .position = 5}), UniformAt({.seed = 1, .position = 6}));
  EXPECT_EQ(UniformAt({.seed = 1, .position = 5}), UniformAt({.seed = 1, .position = 5}));
}

TEST(SampleToken, GreedyTakesTheLowestIdAmongEquals) {
  EXPECT_EQ(SampleToken({1.0f, 3.0f, 3.0f, 2.0f}, Params(0), 1, 1), 1);
}

TEST(SampleToken, NeverTakesMaskedOrNanTokens) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (uint64_t position = 0; position < 200; ++position) {
    const int32_t token = SampleToken({kNegativeInfinity, 0.0f, nan, 0.5f}, Params(5), 3, position);
    EXPECT_TRUE(token == 1 || token == 3) << token;
  }
}

TEST(SampleToken, FollowsTheSoftmax) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f};
  std::map<int32_t, int> counts;
  constexpr int kDraws = 40000;
  for (int position = 0; position < kDraws; ++position) {
    ++counts[SampleToken(logits, Params(0.7f), 99, position)];
  }
  double total = 0;
  for (const float logit : logits) {
    total += std::exp(logit / 0.7);
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    const double expected = std::exp(logits[i] / 0.7) / total;
    const double deviation = 5 * std::sqrt(expected * (1 - expected) / kDraws);
    EXPECT_NEAR(static_cast<double>(counts[static_cast<int32_t>(i)]) / kDraws, expected, deviation) << i;
  }
}

// Every drawn token belongs to the set that a plain, sorted implementation of the filters keeps, and all of a small set
// are drawn sooner or later.
TEST(SampleToken, StaysInsideTheFilters) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> logits(2 + random() % 30);
    for (float& logit : logits) {
      logit = std::normal_distribution<float>(0, 2)(random);
    }
    SamplingParams params = Params(0.5f + static_cast<float>(random() % 3));
    params.top_k = static_cast<int32_t>(random() % 6);
    params.top_p = 0.3f + 0.1f * static_cast<float>(random() % 8);
    params.min_p = 0.05f * static_cast<float>(random() % 4);
    std::vector<std::pair<double, int32_t>> ranked;
    double best = -1;
    for (size_t i = 0; i < logits.size(); ++i) {
      ranked.emplace_back(-std::exp(logits[i] / params.temperature), i);
      best = std::max(best, -ranked.back().first);
    }
    std::sort(ranked.begin(), ranked.end());
    std::erase_if(ranked, [&](const auto& c) { return -c.first < params.min_p * best * (1 - 1e-6); });
    if (params.top_k > 0 && ranked.size() > static_cast<size_t>(params.top_k)) {
      ranked.resize(params.top_k);
    }
    double total = 0;
    for (const auto& c : ranked) {
      total -= c.first;
    }
    std::map<int32_t, bool> allowed;
    double held = 0;
    for (const auto& c : ranked) {
      if (held >= params.top_p * total * (1 + 1e-9)) {
        break;
      }
      allowed[c.second] = true;
      held -= c.first;
    }
    for (uint64_t position = 0; position < 100; ++position) {
      EXPECT_TRUE(allowed.contains(SampleToken(logits, params, round, position))) << "round " << round;
    }
  }
}

}  // namespace
}  // namespace tandem::router
