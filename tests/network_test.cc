// The invariance contract over bad networks: whatever the network between router and workers does, an answer that is
// given is the one that an undisturbed run gives, bit for bit; what cannot be answered ends with an error, and the
// service goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "tests/testing/cluster.h"

namespace tandem::testing {
namespace {

using router::GenerationRequest;

constexpr int kRequests = 12;

std::vector<GenerationRequest> RandomRequests(std::mt19937& random, int64_t vocab_size) {
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < kRequests; ++i) {
    std::vector<int32_t> prompt(1 + random() % 60);
    for (int32_t& token : prompt) token = static_cast<int32_t>(random() % vocab_size);
    requests.push_back(GreedyRequest(std::move(prompt), static_cast<int>(4 + random() % 12)));
    requests.back().sampling.logprobs = 2;
    requests.back().sampling.seed = random();
    requests.back().sampling.temperature = i % 3 == 0 ? 0.0f : 0.9f;
  }
  return requests;
}

void ExpectSame(const Generation& got, const Generation& want, const std::string& how) {
  EXPECT_EQ(got.tokens, want.tokens) << how;
  EXPECT_EQ(got.logprobs, want.logprobs) << how;
  ASSERT_EQ(got.logits.size(), want.logits.size()) << how;
  for (size_t i = 0; i < got.logits.size(); ++i) {
    ASSERT_EQ(std::memcmp(got.logits[i].data(), want.logits[i].data(), want.logits[i].size() * sizeof(float)), 0)
        << how << ", token " << i;
  }
}

class NetworkTest : public ::testing::TestWithParam<std::string> {
 protected:
  // The requests' answers, each alone and with the experts inside the router.
  void SetUp() override {
    auto plain = Cluster::Start(Options());
    ASSERT_TRUE(plain.ok()) << plain.status();
    requests_ = RandomRequests(random_, (*plain)->spec().vocab_size);
    for (const GenerationRequest& request : requests_) {
      want_.push_back((*plain)->Generate({request})[0]);
    }
  }

  static ClusterOptions Options() {
    ClusterOptions options{.model_dir = absl::StrCat("tests/golden/", GetParam())};
    if (GetParam() == "pocket-dictionary") options.model_dir = "models/pocket-dictionary";
    options.prefix_caching = false;  // every answer is to cross the network
    return options;
  }

  ClusterOptions RandomCluster(int round) {
    ClusterOptions options = Options();
    options.num_workers = 1 + round % 3;
    options.shared_memory = round % 2 == 1;
    options.micro_batches = static_cast<int>(1 + random_() % 4);
    options.max_batch_tokens = static_cast<int64_t>(std::vector<int>{9, 40, 128, 17}[round % 4]);
    return options;
  }

  // Asks for the requests of `open` and returns those that ended with an error; the others' answers must be right.
  std::vector<size_t> AskOnce(Cluster& cluster, const std::vector<size_t>& open, int& failures) {
    std::vector<GenerationRequest> asked;
    for (const size_t i : open) asked.push_back(requests_[i]);
    const std::vector<Generation> got = cluster.Generate(asked);
    std::vector<size_t> failed;
    for (size_t i = 0; i < got.size(); ++i) {
      const absl::Status& status = got[i].status;
      if (status.ok()) {
        ExpectSame(got[i], want_[open[i]], absl::StrCat("request ", open[i]));
        continue;
      }
      EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsDataLoss(status)) << status;
      EXPECT_THAT(status.message(), ::testing::HasSubstr("layer "));
      failed.push_back(open[i]);
      ++failures;
    }
    return failed;
  }

  std::mt19937 random_{5};
  std::vector<GenerationRequest> requests_;
  std::vector<Generation> want_;
};

TEST_P(NetworkTest, DelaysReorderingAndDuplicatesChangeNoBit) {
  for (int round = 0; round < 6; ++round) {
    ClusterOptions options = RandomCluster(round);
    const auto up_to = [&](int microseconds) { return absl::Microseconds(random_() % microseconds); };
    options.network = {.latency = up_to(300),
                       .jitter = up_to(1500),
                       .bytes_per_second = round % 3 == 0 ? 0 : 2e8,
                       .reordering = 0.3,
                       .hold_back = up_to(2000),
                       .stalling = 0.02,
                       .stall = up_to(5000),
                       .duplication = 0.2,
                       .seed = random_()};
    const std::string how = absl::StrCat("round ", round, ", ", options.num_workers, " workers, ",
                                         options.micro_batches, " micro-batches, seed ", options.network->seed);
    auto cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    const std::vector<Generation> got = (*cluster)->Generate(requests_);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_TRUE(got[i].status.ok()) << how << ": " << got[i].status;
      ExpectSame(got[i], want_[i], absl::StrCat(how, ", request ", i));
    }
  }
}

// Frames are lost or damaged. The router does not send them again: the requests of the step end with an error, and may
// be asked again.
TEST_P(NetworkTest, LossAndDamageEndInErrorsAndNeverInOtherAnswers) {
  for (int round = 0; round < 4; ++round) {
    const bool rough = round == 0;  // next to nothing gets through
    ClusterOptions options = RandomCluster(round);
    options.max_batch_tokens = 512;  // few steps, so that most of the answers get through
    options.network = {.jitter = absl::Microseconds(300),
                       .loss = rough ? 0.02 : 0.0008,
                       .reordering = 0.2,
                       .hold_back = absl::Microseconds(500),
                       .duplication = 0.1,
                       .corruption = rough ? 0.02 : 0.0008,
                       .seed = random_()};
    auto cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    std::vector<size_t> open(requests_.size());
    std::iota(open.begin(), open.end(), 0);
    int failures = 0;
    for (int attempt = 0; !open.empty() && !(rough && attempt == 5); ++attempt) {
      ASSERT_LT(attempt, 300) << open.size() << " requests never got an answer";
      ASSERT_EQ((*cluster)->workers().WaitUntilReady(absl::Now() + absl::Seconds(60), nullptr), absl::OkStatus());
      open = AskOnce(**cluster, open, failures);
    }
    EXPECT_TRUE(!rough || failures > 0) << "the test is to lose frames";
  }
}

INSTANTIATE_TEST_SUITE_P(Models, NetworkTest, ::testing::Values("pocket-dictionary", "deepseek_v3", "qwen3_moe"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace tandem::testing
