// The invariance contract: a request's logits depend on its prompt, its sampling and its seed alone, bit for bit. Each
// model is run once in a plain way, alone, prompt in one piece, experts inline, and then in every other way.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "tests/testing/cluster.h"

namespace tandem::testing {
namespace {

constexpr int kAnswerTokens = 12;

struct ModelCase {
  std::string name;
  std::string dir;
  std::string dtype;
  std::string kv_cache_dtype = "auto";
  std::string wire_dtype = "auto";
};

std::vector<router::GenerationRequest> Requests(int64_t vocab_size) {
  std::mt19937 random(11);
  std::vector<router::GenerationRequest> requests;
  for (const int length : {1, 5, 31, 32, 33, 64, 90}) {
    std::vector<int32_t> prompt;
    for (int i = 0; i < length; ++i) {
      prompt.push_back(static_cast<int32_t>(random() % vocab_size));
    }
    requests.push_back(GreedyRequest(std::move(prompt), kAnswerTokens));
    if (length % 2 == 1) {
      requests.back().sampling.temperature = 0.8f;
      requests.back().sampling.top_p = 0.9f;
      requests.back().sampling.seed = 1000 + length;
    }
  }
  return requests;
}

void ExpectSameBits(const std::vector<Generation>& got, const std::vector<Generation>& want, const std::string& how) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(got[i].status.ok()) << how << ", request " << i << ": " << got[i].status;
    EXPECT_EQ(got[i].tokens, want[i].tokens) << how << ", request " << i;
    ASSERT_EQ(got[i].logits.size(), want[i].logits.size()) << how << ", request " << i;
    for (size_t step = 0; step < got[i].logits.size(); ++step) {
      EXPECT_EQ(std::memcmp(got[i].logits[step].data(), want[i].logits[step].data(),
                            want[i].logits[step].size() * sizeof(float)),
                0)
          << how << ", request " << i << ", token " << step;
    }
  }
}

class InvarianceTest : public ::testing::TestWithParam<ModelCase> {};

TEST_P(InvarianceTest, HoldsOverWorkersBatchesAndChunks) {
  ClusterOptions plain{.model_dir = GetParam().dir,
                       .dtype = GetParam().dtype,
                       .kv_cache_dtype = GetParam().kv_cache_dtype,
                       .wire_dtype = GetParam().wire_dtype};
  plain.router_threads = 1;
  plain.max_batch_tokens = 512;
  std::vector<Generation> want;
  std::vector<router::GenerationRequest> requests;
  {
    auto cluster = Cluster::Start(plain);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    requests = Requests((*cluster)->spec().vocab_size);
    for (const router::GenerationRequest& request : requests) {
      want.push_back((*cluster)->Generate({request})[0]);
    }
  }
  for (const int workers : {0, 1, 2, 3}) {
    for (const int64_t batch_tokens : {7, 64, 512}) {
      ClusterOptions options = plain;
      options.num_workers = workers;
      options.router_threads = 2;
      options.max_batch_tokens = batch_tokens;
      options.shared_memory = batch_tokens != 64;
      auto cluster = Cluster::Start(options);
      ASSERT_TRUE(cluster.ok()) << cluster.status();
      const std::string how = absl::StrCat(workers, " workers over ", options.shared_memory ? "shared memory" : "gRPC",
                                           ", steps of ", batch_tokens, " tokens");
      ExpectSameBits((*cluster)->Generate(requests), want, how);
      for (int i = 0; i < workers; ++i) {
        EXPECT_GT((*cluster)->worker(i).probe().pairs(), 0) << how << ": worker " << i << " did nothing";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, InvarianceTest,
    ::testing::Values(ModelCase{"pocket_dictionary", "models/pocket-dictionary", "auto"},
                      ModelCase{"pocket_dictionary_f32", "models/pocket-dictionary", "float32"},
                      ModelCase{"qwen2_moe", "tests/golden/qwen2_moe", "auto"},
                      ModelCase{"deepseek_v3_fp8", "tests/golden/deepseek_v3_fp8", "auto"},
                      ModelCase{"olmoe", "tests/golden/olmoe", "auto"},
                      ModelCase{"llama", "tests/golden/llama", "auto"},
                      ModelCase{"pocket_dictionary_int8", "models/pocket-dictionary", "auto", "int8"},
                      ModelCase{"olmoe_fp8", "tests/golden/olmoe", "float32", "fp8"},
                      ModelCase{"deepseek_v3_int8", "tests/golden/deepseek_v3", "auto", "int8"},
                      ModelCase{"deepseek_v3_kv_fp8", "tests/golden/deepseek_v3", "auto", "fp8"},
                      ModelCase{"pocket_dictionary_wire_fp8", "models/pocket-dictionary", "auto", "auto", "fp8"},
                      ModelCase{"qwen2_moe_f32_wire_bf16", "tests/golden/qwen2_moe", "float32", "auto", "bfloat16"},
                      ModelCase{"deepseek_v3_wire_fp8", "tests/golden/deepseek_v3", "float32", "int8", "fp8"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tandem::testing
