#include "expert_worker/expert_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace tandem::expert_worker {
namespace {

using ::testing::HasSubstr;

class FakeWeights : public compute::MlpWeights {
 public:
  int64_t hidden_size() const override { return 4; }
  int64_t intermediate_size() const override { return 8; }
  int64_t size_bytes() const override { return 96; }
};

TEST(ExpertStoreTest, HoldsWhatWasLoadedUntilItIsUnloaded) {
  int loads = 0;
  ExpertStore store([&](int, int) {
    ++loads;
    return std::make_shared<FakeWeights>();
  });
  ASSERT_EQ(store.Load({{0, 1}, {2, 3}, {0, 1}}), absl::OkStatus());
  ASSERT_EQ(store.Load({{2, 3}}), absl::OkStatus());
  EXPECT_EQ(loads, 2);
  EXPECT_EQ(store.num_experts(), 2);
  EXPECT_EQ(store.weights_bytes(), 192);
  EXPECT_NE(store.Find({0, 1}), nullptr);
  EXPECT_EQ(store.Find({1, 0}), nullptr);
  store.Unload({{0, 1}, {7, 7}});
  EXPECT_EQ(store.Find({0, 1}), nullptr);
  EXPECT_EQ(store.num_experts(), 1);
  EXPECT_EQ(store.weights_bytes(), 96);
}

TEST(ExpertStoreTest, KeepsWhatIsInUseBeyondUnload) {
  ExpertStore store([](int, int) { return std::make_shared<FakeWeights>(); });
  ASSERT_EQ(store.Load({{0, 0}}), absl::OkStatus());
  const compute::MlpWeightsPtr used = store.Find({0, 0});
  store.Unload({{0, 0}});
  EXPECT_EQ(used->hidden_size(), 4);
}

TEST(ExpertStoreTest, NamesTheExpertThatCannotBeLoadedAndMayTryAgain) {
  bool broken = true;
  ExpertStore store([&](int layer, int) -> absl::StatusOr<compute::MlpWeightsPtr> {
    if (broken && layer == 2) {
      return absl::DataLossError("short file");
    }
    return std::make_shared<FakeWeights>();
  });
  const absl::Status status = store.Load({{1, 0}, {2, 5}, {3, 0}});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("layer 2, expert 5: short file"));
  EXPECT_NE(store.Find({1, 0}), nullptr);
  EXPECT_EQ(store.Find({2, 5}), nullptr);
  broken = false;
  EXPECT_EQ(store.Load({{2, 5}}), absl::OkStatus());
  EXPECT_NE(store.Find({2, 5}), nullptr);
}

TEST(ExpertStoreTest, LoadsAnExpertOnceForManyThreads) {
  constexpr int kThreads = 4;
  std::atomic<int> loads = 0;
  ExpertStore store([&](int, int) {
    ++loads;
    return std::make_shared<FakeWeights>();
  });
  std::vector<LayerExpert> wanted;
  for (int i = 0; i < 50; ++i) {
    wanted.push_back({i / 10, i % 10});
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      EXPECT_EQ(store.Load(wanted), absl::OkStatus());
      for (const LayerExpert& id : wanted) {
        EXPECT_NE(store.Find(id), nullptr) << "Load returned before the expert was usable";
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(loads, 50);
  EXPECT_EQ(store.weights_bytes(), 50 * 96);
}

}  // namespace
}  // namespace tandem::expert_worker
