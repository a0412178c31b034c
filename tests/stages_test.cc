// Pipeline stages: the same bits whatever the number of stages, the policy, the micro-batches and the workers; and what
// becomes of requests when a stage is lost.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "absl/synchronization/notification.h"
#include "tests/testing/cluster.h"

namespace tandem::testing {
namespace {

using scheduler::StagePolicy;

constexpr char kPocketDictionary[] = "models/pocket-dictionary";

std::vector<router::GenerationRequest> Requests(int64_t vocab_size, int answer_tokens) {
  std::mt19937 random(17);
  std::vector<router::GenerationRequest> requests;
  for (const int length : {1, 5, 31, 32, 33, 64, 90}) {
    std::vector<int32_t> prompt;
    for (int i = 0; i < length; ++i) {
      prompt.push_back(static_cast<int32_t>(random() % vocab_size));
    }
    requests.push_back(GreedyRequest(std::move(prompt), answer_tokens));
    requests.back().sampling.logprobs = 1;
    if (length % 2 == 1) {
      requests.back().sampling.temperature = 0.8f;
      requests.back().sampling.seed = 100 + length;
      requests.back().sampling.n = 2;
    }
  }
  requests.push_back(requests.back());  // an embedding of the longest prompt
  requests.back().sampling = {};
  requests.back().pooling = router::Pooling::kMean;
  return requests;
}

void ExpectSameBits(const std::vector<Generation>& got, const std::vector<Generation>& want, const std::string& how) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(got[i].status.ok()) << how << ", answer " << i << ": " << got[i].status;
    EXPECT_EQ(got[i].tokens, want[i].tokens) << how << ", answer " << i;
    EXPECT_EQ(got[i].logprobs, want[i].logprobs) << how << ", answer " << i;
    EXPECT_EQ(got[i].embedding, want[i].embedding) << how << ", answer " << i;
    ASSERT_EQ(got[i].logits.size(), want[i].logits.size()) << how << ", answer " << i;
    for (size_t step = 0; step < got[i].logits.size(); ++step) {
      EXPECT_EQ(std::memcmp(got[i].logits[step].data(), want[i].logits[step].data(),
                            want[i].logits[step].size() * sizeof(float)),
                0)
          << how << ", answer " << i << ", token " << step;
    }
  }
}

class StagesTest : public ::testing::TestWithParam<std::string> {};

TEST_P(StagesTest, GiveTheSameBitsInEveryArrangement) {
  ClusterOptions options{.model_dir = GetParam()};
  options.router_threads = 1;
  std::vector<Generation> want;
  std::vector<router::GenerationRequest> requests;
  {
    auto plain = Cluster::Start(options);
    ASSERT_TRUE(plain.ok()) << plain.status();
    requests = Requests((*plain)->spec().vocab_size, 8);
    for (const router::GenerationRequest& request : requests) {
      for (Generation& answer : (*plain)->Generate({request})) {
        want.push_back(std::move(answer));
      }
    }
  }
  for (const int stages : {2, 3}) {
    for (const StagePolicy policy : {StagePolicy::kOneWay, StagePolicy::kDualPipe}) {
      for (const int workers : {0, 2}) {
        options.pipeline_stages = stages;
        options.stage_policy = policy;
        options.num_workers = workers;
        auto cluster = Cluster::Start(options);
        ASSERT_TRUE(cluster.ok()) << cluster.status();
        for (const int micro_batches : {1, 2, 5}) {
          (*cluster)->engine().SetMicroBatches(micro_batches);
          const std::string how = absl::StrCat(stages, " stages, ", scheduler::StagePolicyName(policy), ", ", workers,
                                               " workers, ", micro_batches, " micro-batches");
          const std::vector<Generation> got = (*cluster)->Generate(requests);
          ExpectSameBits(got, want, how);
          EXPECT_FALSE(got.back().embedding.empty());
          // The second time the prompts are in the prefix cache, of the direction that they went.
          EXPECT_EQ(got[got.size() - 2].first.cached_tokens, micro_batches == 1 ? 0 : 64) << how;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, StagesTest,
                         ::testing::Values(kPocketDictionary, "tests/golden/deepseek_v3", "tests/golden/olmoe"),
                         [](const auto& info) {
                           return std::string(info.param.substr(info.param.rfind('/') + 1) == "pocket-dictionary"
                                                  ? "pocket_dictionary"
                                                  : info.param.substr(info.param.rfind('/') + 1));
                         });

// Ends a stage while a request is decoding.
TEST(StagesFailure, ALostStageEndsItsRequestsAndComesBackEmpty) {
  for (const StagePolicy policy : {StagePolicy::kOneWay, StagePolicy::kDualPipe}) {
    auto started = Cluster::Start({.model_dir = kPocketDictionary, .pipeline_stages = 3, .stage_policy = policy});
    ASSERT_TRUE(started.ok()) << started.status();
    Cluster& cluster = **started;
    const std::vector<router::GenerationRequest> requests = Requests(cluster.spec().vocab_size, 8);
    const std::vector<Generation> want = cluster.Generate(requests);

    absl::Notification decoding;
    absl::Notification ended;
    absl::Status error;
    int tokens = 0;
    const auto submitted = cluster.engine().Submit(GreedyRequest({1, 2, 3}, 900), [&](const router::TokenEvent& event) {
      if (++tokens == 3) {
        decoding.Notify();
      }
      if (event.finish_reason != router::FinishReason::kNone) {
        error = event.error;
        ended.Notify();
      }
    });
    ASSERT_TRUE(submitted.ok()) << submitted.status();
    decoding.WaitForNotification();
    cluster.KillStage(2);
    ended.WaitForNotification();
    EXPECT_TRUE(absl::IsUnavailable(error)) << error;
    EXPECT_TRUE(absl::IsUnavailable(cluster.engine().Health()));
    EXPECT_TRUE(absl::IsUnavailable(cluster.Generate({requests[0]})[0].status));

    ASSERT_TRUE(cluster.RestartStage(2).ok());
    ASSERT_TRUE(cluster.AwaitHealth().ok());
    // The head had these prompts in its prefix cache; the new stage has not.
    ExpectSameBits(cluster.Generate(requests), want, "after the restart");
  }
}

TEST(StagesFailure, AStageWithOtherTermsIsRefusedByName) {
  auto cluster = Cluster::Start({.model_dir = kPocketDictionary, .pipeline_stages = 2});
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  transport::StageTerms terms = (*cluster)->Terms(1);
  terms.max_model_len *= 2;
  const auto refused = transport::ConnectStage((*cluster)->StageAddress(1), terms, {}, absl::Now() + absl::Seconds(10));
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
  EXPECT_NE(std::string(refused.status().message()).find("max-model-len"), std::string::npos) << refused.status();
  // A second head with the right terms has to wait.
  const auto second =
      transport::ConnectStage((*cluster)->StageAddress(1), (*cluster)->Terms(1), {}, absl::Now() + absl::Seconds(10));
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
}

}  // namespace
}  // namespace tandem::testing
