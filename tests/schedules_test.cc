// The invariance contract under continuous batching: whatever shares a step with a request, however its prompt is cut,
// whether its blocks came from the prefix cache, were shared with other answers, or were taken away and computed again,
// its tokens, logits and log probabilities are those of the request alone. Random schedules; bits are compared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/testing/cluster.h"

namespace tandem::testing {
namespace {

using router::GenerationRequest;

struct ModelCase {
  std::string name;
  std::string dir;
};

// A request of random kind. Prompts begin like others', so that there is something to share.
GenerationRequest RandomRequest(std::mt19937& random, int64_t vocab_size) {
  GenerationRequest request;
  const int family = static_cast<int>(random() % 3);
  const int length = static_cast<int>(1 + random() % 150);
  std::mt19937 prefix(100 + family);
  for (int i = 0; i < length; ++i) {
    const auto common = static_cast<int32_t>(prefix() % vocab_size);
    request.prompt.push_back(i < 70 ? common : static_cast<int32_t>(random() % vocab_size));
  }
  router::SamplingParams& sampling = request.sampling;
  sampling.max_tokens = static_cast<int32_t>(1 + random() % 60);
  sampling.ignore_eos = true;
  sampling.seed = random() % 1000;
  sampling.temperature = random() % 3 == 0 ? 0.0f : 0.9f;
  sampling.top_p = random() % 2 == 0 ? 1.0f : 0.8f;
  sampling.top_k = random() % 3 == 0 ? 20 : 0;
  sampling.n = random() % 3 == 0 ? static_cast<int32_t>(2 + random() % 3) : 1;
  sampling.logprobs = 2;
  if (random() % 3 == 0) {
    sampling.frequency_penalty = 0.5f;
    sampling.repetition_penalty = 1.2f;
  }
  if (random() % 4 == 0) {
    sampling.prompt_logprobs = 1;
  }
  request.priority = static_cast<int32_t>(random() % 3);
  request.user = std::string(1, static_cast<char>('a' + random() % 3));
  request.cache_salt = random() % 5 == 0 ? "salt" : "";
  return request;
}

void ExpectSame(const Generation& got, const Generation& want, const std::string& how) {
  ASSERT_TRUE(got.status.ok()) << how << ": " << got.status;
  EXPECT_EQ(got.tokens, want.tokens) << how;
  EXPECT_EQ(got.logprobs, want.logprobs) << how;
  ASSERT_EQ(got.logits.size(), want.logits.size()) << how;
  for (size_t i = 0; i < got.logits.size(); ++i) {
    ASSERT_EQ(std::memcmp(got.logits[i].data(), want.logits[i].data(), want.logits[i].size() * sizeof(float)), 0)
        << how << ", token " << i;
  }
  ASSERT_EQ(got.first.prompt_logprobs.size(), want.first.prompt_logprobs.size()) << how;
  for (size_t i = 0; i < got.first.prompt_logprobs.size(); ++i) {
    EXPECT_EQ(got.first.prompt_logprobs[i].chosen.logprob, want.first.prompt_logprobs[i].chosen.logprob) << how;
  }
}

class SchedulesTest : public ::testing::TestWithParam<ModelCase> {};

TEST_P(SchedulesTest, ChangeNoBit) {
  constexpr int kRequests = 24;
  std::mt19937 random(42);
  std::vector<GenerationRequest> requests;
  std::vector<Generation> want;  // of each answer
  {
    auto cluster = Cluster::Start({.model_dir = GetParam().dir, .max_batch_tokens = 512, .prefix_caching = false});
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    for (int i = 0; i < kRequests; ++i) {
      requests.push_back(RandomRequest(random, (*cluster)->spec().vocab_size));
      for (Generation& answer : (*cluster)->Generate({requests.back()})) {
        want.push_back(std::move(answer));
      }
    }
  }
  uint64_t preemptions = 0;
  uint64_t hits = 0;
  for (int round = 0; round < 6; ++round) {
    ClusterOptions options{.model_dir = GetParam().dir};
    options.num_workers = round % 3;
    options.micro_batches = 1 + round % 5;
    options.max_batch_tokens = static_cast<int64_t>(std::vector<int>{3, 40, 64, 256, 17, 100}[round]);
    options.max_sequences = static_cast<int>(2 + random() % 14);
    options.num_kv_blocks = 8 + static_cast<int64_t>(random() % 20);  // the longest request needs seven
    options.prefix_caching = round != 3;
    auto cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    const std::string how = absl::StrCat("round ", round, ": ", options.max_batch_tokens, " tokens a step, ",
                                         options.max_sequences, " sequences, ", options.num_kv_blocks, " blocks");
    // In two halves: the second finds what the first left in the prefix cache.
    const std::vector<GenerationRequest> first(requests.begin(), requests.begin() + kRequests / 2);
    const std::vector<GenerationRequest> second(requests.begin() + kRequests / 2, requests.end());
    size_t answer = 0;
    for (const auto& half : {first, second}) {
      for (const Generation& got : (*cluster)->Generate(half)) {
        ExpectSame(got, want[answer], absl::StrCat(how, ", answer ", answer));
        ++answer;
      }
    }
    EXPECT_EQ(answer, want.size());
    const router::EngineStats stats = (*cluster)->engine().Stats();
    preemptions += stats.preemptions;
    hits += stats.prefix_hit_tokens;
  }
  EXPECT_GT(preemptions, 0u) << "the test is to preempt";
  EXPECT_GT(hits, 0u) << "the test is to hit the prefix cache";
}

TEST_P(SchedulesTest, PoolingDoesNotSeeTheSchedule) {
  std::mt19937 random(7);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 10; ++i) {
    GenerationRequest request = RandomRequest(random, 100);
    request.sampling = {};
    request.pooling = i % 2 == 0 ? router::Pooling::kLast : router::Pooling::kMean;
    requests.push_back(std::move(request));
  }
  std::vector<Generation> want;
  auto plain = Cluster::Start({.model_dir = GetParam().dir, .max_batch_tokens = 512, .prefix_caching = false});
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (const GenerationRequest& request : requests) {
    want.push_back((*plain)->Generate({request})[0]);
    ASSERT_EQ(static_cast<int64_t>(want.back().embedding.size()), (*plain)->spec().hidden_size);
  }
  auto busy = Cluster::Start({.model_dir = GetParam().dir, .max_batch_tokens = 13, .num_kv_blocks = 9});
  ASSERT_TRUE(busy.ok()) << busy.status();
  for (int round = 0; round < 2; ++round) {
    const std::vector<Generation> got = (*busy)->Generate(requests);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].embedding, want[i].embedding) << "round " << round << ", request " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SchedulesTest,
                         ::testing::Values(ModelCase{"pocket_dictionary", "models/pocket-dictionary"},
                                           ModelCase{"qwen2_moe", "tests/golden/qwen2_moe"},
                                           ModelCase{"deepseek_v3_fp8", "tests/golden/deepseek_v3_fp8"},
                                           ModelCase{"glm4_moe", "tests/golden/glm4_moe"}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tandem::testing
