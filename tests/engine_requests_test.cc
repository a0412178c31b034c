// What single requests may ask of the engine: priorities, deadlines, several answers, constraints, rules.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "tests/testing/cluster.h"

namespace tandem::testing {
namespace {

using router::FinishReason;
using router::GenerationRequest;
using router::TokenEvent;
using ::testing::Contains;
using ::testing::Each;

constexpr absl::Duration kPatience = absl::Seconds(60);

std::unique_ptr<Cluster> StartCluster(ClusterOptions options) {
  options.model_dir = "tests/golden/qwen3_moe";
  auto cluster = Cluster::Start(options);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return *std::move(cluster);
}

std::vector<int32_t> Prompt(int length, int seed = 0) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < length; ++i) {
    prompt.push_back(1 + (i * 7 + seed) % 50);
  }
  return prompt;
}

// Allows tokens of one parity, then the other, and so on; after `length` tokens only `end`.
class Alternating : public router::TokenConstraint {
 public:
  Alternating(int length, int32_t end) : length_(length), end_(end) {}

  absl::Status Accept(int32_t token) override {
    if (taken_ < length_ && token % 2 != taken_ % 2) {
      return absl::InvalidArgumentError("wrong parity");
    }
    ++taken_;
    return absl::OkStatus();
  }
  absl::Status FillMask(absl::Span<uint64_t> mask) override {
    for (size_t i = 0; i < mask.size() * 64; ++i) {
      const bool allowed = taken_ < length_ ? static_cast<int>(i % 2) == taken_ % 2 && static_cast<int32_t>(i) != end_
                                            : static_cast<int32_t>(i) == end_;
      mask[i / 64] = (i % 64 == 0 ? 0 : mask[i / 64]) | uint64_t{allowed} << (i % 64);
    }
    return absl::OkStatus();
  }
  std::unique_ptr<router::TokenConstraint> Clone() const override { return std::make_unique<Alternating>(*this); }

 private:
  const int length_;
  const int32_t end_;
  int taken_ = 0;
};

TEST(EngineRequests, AConstraintHoldsForEveryAnswer) {
  constexpr int32_t kEnd = 2;
  const auto cluster = StartCluster({.max_sequences = 3, .num_kv_blocks = 6});
  GenerationRequest request = GreedyRequest(Prompt(40), 100);
  request.sampling.temperature = 1;
  request.sampling.seed = 5;
  request.sampling.n = 4;
  request.sampling.stop_token_ids = {kEnd};
  request.constraint = std::make_shared<Alternating>(30, kEnd);
  GenerationRequest other = request;
  other.sampling.seed = 6;
  const std::vector<Generation> answers = cluster->Generate({request, other});
  ASSERT_EQ(answers.size(), 8u);
  for (const Generation& answer : answers) {
    ASSERT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
    ASSERT_EQ(answer.tokens.size(), 31u);
    for (int i = 0; i < 30; ++i) {
      EXPECT_EQ(answer.tokens[i] % 2, i % 2);
    }
    EXPECT_EQ(answer.tokens.back(), kEnd);
  }
  EXPECT_NE(answers[0].tokens, answers[1].tokens);
  EXPECT_GT(cluster->engine().Stats().preemptions, 0u) << "the test is to preempt";
}

TEST(EngineRequests, AnAnswerDoesNotDependOnHowManyThereAre) {
  const auto cluster = StartCluster({});
  GenerationRequest request = GreedyRequest(Prompt(20), 12);
  request.sampling.temperature = 1;
  request.sampling.seed = 9;
  const Generation one = cluster->Generate({request})[0];
  request.sampling.n = 5;
  const std::vector<Generation> five = cluster->Generate({request});
  EXPECT_EQ(five[0].tokens, one.tokens);
  EXPECT_EQ(cluster->Generate({request})[4].tokens, five[4].tokens);
}

TEST(EngineRequests, OneAnswerCanBeCancelled) {
  const auto cluster = StartCluster({});
  GenerationRequest request = GreedyRequest(Prompt(20), 300);
  request.sampling.temperature = 1;
  request.sampling.n = 3;
  absl::Notification first_token;
  absl::Notification finished;
  std::map<int32_t, FinishReason> ends;
  const auto id = cluster->engine().Submit(request, [&](const TokenEvent& event) {
    if (!first_token.HasBeenNotified()) {
      first_token.Notify();
    }
    if (event.finish_reason != FinishReason::kNone) {
      EXPECT_TRUE(ends.emplace(event.choice, event.finish_reason).second) << "one end for each answer";
      if (ends.size() == 3) {
        finished.Notify();
      }
    }
  });
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(first_token.WaitForNotificationWithTimeout(kPatience));
  cluster->engine().CancelChoice(*id, 1);
  ASSERT_TRUE(finished.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(ends[0], FinishReason::kLength);
  EXPECT_EQ(ends[1], FinishReason::kCancelled);
  EXPECT_EQ(ends[2], FinishReason::kLength);
  ASSERT_TRUE(cluster->engine().Drain(absl::Now() + kPatience));
  EXPECT_EQ(cluster->engine().Stats().kv_blocks_used, 0);
}

TEST(EngineRequests, ABetterPriorityTakesTheOnlyPlace) {
  const auto cluster = StartCluster({.max_sequences = 1});
  GenerationRequest low = GreedyRequest(Prompt(30), 400);
  low.priority = 5;
  const Generation undisturbed = cluster->Generate({low})[0];
  absl::Notification low_runs;
  absl::Notification high_done;
  absl::Notification low_done;
  std::vector<int32_t> tokens;
  const auto submitted = cluster->engine().Submit(low, [&](const TokenEvent& event) {
    tokens.push_back(*event.token);
    if (tokens.size() == 1) {
      low_runs.Notify();
    }
    if (event.finish_reason != FinishReason::kNone) {
      EXPECT_TRUE(high_done.HasBeenNotified());
      low_done.Notify();
    }
  });
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(low_runs.WaitForNotificationWithTimeout(kPatience));
  ASSERT_TRUE(cluster->engine()
                  .Submit(GreedyRequest(Prompt(9, 3), 2),
                          [&](const TokenEvent& event) {
                            if (event.finish_reason != FinishReason::kNone) {
                              high_done.Notify();
                            }
                          })
                  .ok());
  ASSERT_TRUE(low_done.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(tokens, undisturbed.tokens);
  EXPECT_EQ(cluster->engine().Stats().preemptions, 1u);
}

TEST(EngineRequests, ADeadlineEndsTheRequest) {
  const auto cluster = StartCluster({});
  GenerationRequest request = GreedyRequest(Prompt(30), 500);
  request.deadline = absl::Now() - absl::Seconds(1);
  const Generation result = cluster->Generate({request, GreedyRequest(Prompt(5), 3)})[0];
  EXPECT_EQ(result.finish_reason, FinishReason::kError);
  EXPECT_EQ(result.status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(EngineRequests, APromptSeenBeforeComesFromTheCache) {
  const auto cluster = StartCluster({});
  const Generation first = cluster->Generate({GreedyRequest(Prompt(100), 40)})[0];
  EXPECT_EQ(first.first.cached_tokens, 0);
  EXPECT_EQ(cluster->Generate({GreedyRequest(Prompt(100), 1)})[0].first.cached_tokens, 96);
  // The next turn of a chat: the answer is part of the prompt now.
  std::vector<int32_t> history = Prompt(100);
  history.insert(history.end(), first.tokens.begin(), first.tokens.end());
  EXPECT_EQ(cluster->Generate({GreedyRequest(history, 1)})[0].first.cached_tokens, 128);
  GenerationRequest other = GreedyRequest(history, 1);
  other.cache_salt = "other tenant";
  EXPECT_EQ(cluster->Generate({other})[0].first.cached_tokens, 0);
}

TEST(EngineRequests, RulesShapeTheAnswer) {
  const auto cluster = StartCluster({});
  GenerationRequest biased = GreedyRequest(Prompt(12), 8);
  biased.sampling.logit_bias = {{7, 100}};
  EXPECT_THAT(cluster->Generate({biased})[0].tokens, Each(7));
  biased.sampling.frequency_penalty = 2;
  biased.sampling.logit_bias = {{7, 1}};
  biased.sampling.allowed_token_ids = {7, 8, 9};
  const std::vector<int32_t> varied = cluster->Generate({biased})[0].tokens;
  EXPECT_THAT(varied, Each(::testing::AnyOf(7, 8, 9)));
  EXPECT_THAT(varied, Contains(8));
  EXPECT_THAT(varied, Contains(9));
}

TEST(EngineRequests, RulesThatLeaveNoTokenEndTheRequestOnly) {
  const auto cluster = StartCluster({});
  GenerationRequest impossible = GreedyRequest(Prompt(12), 8);
  impossible.sampling.allowed_token_ids = {4};
  impossible.constraint = std::make_shared<Alternating>(3, 2);
  const std::vector<Generation> results = cluster->Generate({impossible, GreedyRequest(Prompt(5), 3)});
  EXPECT_EQ(results[0].status.code(), absl::StatusCode::kInvalidArgument) << results[0].status;
  EXPECT_TRUE(results[1].status.ok());
}

}  // namespace
}  // namespace tandem::testing
