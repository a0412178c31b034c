#include "router/logits_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "router/logprobs.h"

namespace tandem::router {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

std::vector<float> Applied(const LogitsRules& rules, std::vector<float> logits, int64_t generated = 0,
                           std::vector<uint64_t> mask = {}) {
  rules.Apply(absl::MakeSpan(logits), generated, mask);
  return logits;
}

TEST(LogitsRules, DefaultsChangeNothing) {
  const SamplingParams params;
  const LogitsRules rules(params, {1, 2}, {0});
  EXPECT_TRUE(rules.empty());
  EXPECT_THAT(Applied(rules, {1, 2, 3}), ElementsAre(1, 2, 3));
}

TEST(LogitsRules, PenaltiesCountTokens) {
  SamplingParams params;
  params.frequency_penalty = 0.5f;
  params.presence_penalty = 1;
  LogitsRules rules(params, {0}, {});
  rules.Count(1);
  rules.Count(1);
  rules.Count(2);
  EXPECT_THAT(Applied(rules, {5, 5, 5, 5}), ElementsAre(5, 3, 3.5f, 5)) << "the prompt does not count";
}

TEST(LogitsRules, RepetitionCountsThePromptToo) {
  SamplingParams params;
  params.repetition_penalty = 2;
  LogitsRules rules(params, {0, 0}, {});
  rules.Count(2);
  EXPECT_THAT(Applied(rules, {4, 4, -4}), ElementsAre(FloatEq(2), 4, FloatEq(-8)));
}

TEST(LogitsRules, BiasAndAllowedTokens) {
  SamplingParams params;
  params.logit_bias = {{1, -100}, {2, 3}, {99, 1}};
  params.allowed_token_ids = {1, 2};
  const LogitsRules rules(params, {}, {});
  EXPECT_THAT(Applied(rules, {1, 1, 1}), ElementsAre(kForbidden, -99, 4));
}

TEST(LogitsRules, MasksOfAllSizes) {
  const SamplingParams params;
  const LogitsRules rules(params, {}, {});
  std::vector<float> logits(130, 1);
  std::vector<uint64_t> mask = {~uint64_t{0}, 0, 2};
  logits = Applied(rules, logits, 0, mask);
  for (int i = 0; i < 130; ++i) {
    EXPECT_EQ(logits[i], i < 64 || i == 129 ? 1 : kForbidden) << i;
  }
}

TEST(LogitsRules, NoEndBeforeTheMinimumLength) {
  SamplingParams params;
  params.min_tokens = 2;
  params.stop_token_ids = {1};
  const LogitsRules rules(params, {}, {0});
  EXPECT_THAT(Applied(rules, {1, 1, 1}, 1), ElementsAre(kForbidden, kForbidden, 1));
  EXPECT_THAT(Applied(rules, {1, 1, 1}, 2), ElementsAre(1, 1, 1));
  EXPECT_THAT(Applied(rules, {1, 1, 1}, 0, {0b001}), ElementsAre(1, kForbidden, kForbidden))
      << "a complete constraint ends, however short the answer is";
}

TEST(Logprobs, RanksAndNormalises) {
  const PositionLogprobs result = LogprobsOf({0.0f, 2.0f, 1.0f, 2.0f}, 2, 3);
  const double sum = std::exp(0) + 2 * std::exp(2) + std::exp(1);
  EXPECT_NEAR(result.chosen.logprob, 1 - std::log(sum), 1e-5);
  EXPECT_EQ(result.chosen.rank, 3);
  ASSERT_EQ(result.top.size(), 3u);
  EXPECT_EQ(result.top[0].token, 1) << "the lower id first among equals";
  EXPECT_EQ(result.top[1].token, 3);
  EXPECT_EQ(result.top[2].token, 2);
  EXPECT_NEAR(result.top[0].logprob, 2 - std::log(sum), 1e-5);
  EXPECT_TRUE(LogprobsOf({1.0f, 2.0f}, 0, 0).top.empty());
  EXPECT_EQ(LogprobsOf({1.0f, 2.0f}, 0, 20).top.size(), 2u);
}

}  // namespace
}  // namespace tandem::router
