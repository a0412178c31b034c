// The engine with real workers on loopback: limits, stopping, cancelling, draining, and workers that die.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "tests/testing/cluster.h"

namespace tandem::testing {
namespace {

using router::FinishReason;
using router::GenerationRequest;
using router::TokenEvent;
using ::testing::HasSubstr;

constexpr char kModel[] = "tests/golden/qwen3_moe";
constexpr absl::Duration kPatience = absl::Seconds(60);

std::unique_ptr<Cluster> StartCluster(ClusterOptions options) {
  options.model_dir = kModel;
  auto cluster = Cluster::Start(options);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return *std::move(cluster);
}

std::vector<int32_t> Prompt(int length) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < length; ++i) {
    prompt.push_back(1 + i % 50);
  }
  return prompt;
}

TEST(Engine, RefusesWhatCannotBeServed) {
  const auto cluster = StartCluster({});
  const auto submit = [&](std::vector<int32_t> prompt, int max_tokens) {
    return cluster->engine().Submit(GreedyRequest(std::move(prompt), max_tokens), [](const TokenEvent&) {}).status();
  };
  EXPECT_EQ(submit({}, 4).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(submit({-1}, 4).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(submit({1 << 20}, 4).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(submit({1}, 0).code(), absl::StatusCode::kInvalidArgument);
  const absl::Status too_long = submit(Prompt(cluster->engine().max_model_len()), 4);
  EXPECT_EQ(too_long.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(too_long.message()), HasSubstr(absl::StrCat(cluster->engine().max_model_len())));
}

TEST(Engine, ClampsTheAnswerToTheContext) {
  const auto cluster = StartCluster({});
  const int length = cluster->engine().max_model_len() - 3;
  const Generation result = cluster->Generate({GreedyRequest(Prompt(length), 100)})[0];
  EXPECT_EQ(result.tokens.size(), 3u);
  EXPECT_EQ(result.finish_reason, FinishReason::kLength);
}

TEST(Engine, StopsAtAStopTokenButNotBeforeMinTokens) {
  const auto cluster = StartCluster({});
  const Generation free = cluster->Generate({GreedyRequest(Prompt(9), 12)})[0];
  ASSERT_EQ(free.tokens.size(), 12u);
  const int32_t stop = free.tokens[3];
  const auto first = std::find(free.tokens.begin(), free.tokens.end(), stop) - free.tokens.begin();
  GenerationRequest request = GreedyRequest(Prompt(9), 12);
  request.sampling.stop_token_ids = {stop};
  const Generation stopped = cluster->Generate({request})[0];
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);
  EXPECT_EQ(stopped.tokens, std::vector<int32_t>(free.tokens.begin(), free.tokens.begin() + first + 1));
  request.sampling.min_tokens = 8;
  const Generation longer = cluster->Generate({request})[0];
  for (int i = 0; i < 8; ++i) {
    EXPECT_NE(longer.tokens[i], stop);
  }
}

TEST(Engine, RefusesMoreThanTheQueueHolds) {
  const auto cluster = StartCluster({.max_sequences = 1, .max_queue = 2});
  std::vector<GenerationRequest> requests(8, GreedyRequest(Prompt(40), 200));
  int refused = 0;
  for (const Generation& result : cluster->Generate(requests)) {
    if (result.status.ok()) {
      EXPECT_EQ(result.tokens.size(), 200u);
    } else {
      EXPECT_EQ(result.status.code(), absl::StatusCode::kResourceExhausted);
      ++refused;
    }
  }
  EXPECT_GE(refused, 4);
}

TEST(Engine, CancelsARunningRequestAndFreesItsBlocks) {
  const auto cluster = StartCluster({.num_workers = 1});
  absl::Notification started;
  absl::Notification finished;
  FinishReason reason = FinishReason::kNone;
  bool first = true;
  const auto id = cluster->engine().Submit(GreedyRequest(Prompt(20), 900), [&](const TokenEvent& event) {
    if (std::exchange(first, false)) {
      started.Notify();
    }
    if (event.finish_reason != FinishReason::kNone) {
      reason = event.finish_reason;
      finished.Notify();
    }
  });
  ASSERT_TRUE(id.ok()) << id.status();
  ASSERT_TRUE(started.WaitForNotificationWithTimeout(kPatience));
  cluster->engine().Cancel(*id);
  ASSERT_TRUE(finished.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(reason, FinishReason::kCancelled);
  ASSERT_TRUE(cluster->engine().Drain(absl::Now() + kPatience));
  EXPECT_EQ(cluster->engine().Stats().kv_blocks_used, 0);
}

// The parts of forward passes, with experts inside the router and outside.
TEST(Engine, AccountsForItsTime) {
  for (const int workers : {0, 2}) {
    const auto cluster = StartCluster({.num_workers = workers});
    ASSERT_TRUE(cluster->Generate({GreedyRequest(Prompt(30), 40)})[0].status.ok());
    const router::EngineStats stats = cluster->engine().Stats();
    const double parts = stats.router_seconds + stats.shared_seconds + stats.expert_wait_seconds +
                         stats.wire_wait_seconds + stats.bubble_seconds + stats.stage_wait_seconds;
    EXPECT_NEAR(parts / stats.forward_seconds, 1, 1e-6) << workers << " workers";
    EXPECT_GT(stats.expert_wait_seconds, 0) << workers << " workers";
    if (workers == 0) {  // nothing goes on at the same time
      EXPECT_LE(stats.ideal_seconds, stats.forward_seconds * 1.001);
    }
  }
}

TEST(Engine, DrainingRefusesNewRequests) {
  const auto cluster = StartCluster({});
  EXPECT_TRUE(cluster->engine().Drain(absl::Now() + kPatience));
  EXPECT_EQ(cluster->engine().Submit(GreedyRequest({1}, 1), [](const TokenEvent&) {}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(Engine, ALostWorkerFailsTheRequestsItHurtsAndServesAgainWhenItIsBack) {
  const auto cluster = StartCluster({.num_workers = 2});
  const GenerationRequest request = GreedyRequest(Prompt(20), 30);
  const Generation before = cluster->Generate({request})[0];
  ASSERT_TRUE(before.status.ok());

  absl::Notification finished;
  absl::Status error;
  int tokens = 0;
  const auto id = cluster->engine().Submit(GreedyRequest(Prompt(20), 900), [&](const TokenEvent& event) {
    if (++tokens == 5) {
      cluster->KillWorker(1);  // from the engine's thread: the next step finds it gone
    }
    if (event.finish_reason != FinishReason::kNone) {
      error = event.error;
      finished.Notify();
    }
  });
  ASSERT_TRUE(id.ok()) << id.status();
  ASSERT_TRUE(finished.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(error.code(), absl::StatusCode::kUnavailable) << error;
  EXPECT_EQ(cluster->engine().Health().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(cluster->engine().Submit(request, [](const TokenEvent&) {}).status().code(), absl::StatusCode::kUnavailable);

  ASSERT_TRUE(cluster->RestartWorker(1).ok());
  ASSERT_TRUE(cluster->workers().WaitUntilReady(absl::Now() + kPatience, nullptr).ok());
  const Generation after = cluster->Generate({request})[0];
  ASSERT_TRUE(after.status.ok()) << after.status;
  EXPECT_EQ(after.tokens, before.tokens);
  EXPECT_EQ(after.logits, before.logits);
}

}  // namespace
}  // namespace tandem::testing
