#include "scheduler/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace tandem::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

int Spread(const std::vector<int>& counts) {
  const auto [low, high] = std::minmax_element(counts.begin(), counts.end());
  return *high - *low;
}

class StaticPlacementTest : public ::testing::TestWithParam<std::tuple<int, int, int>> {};

TEST_P(StaticPlacementTest, HostsEveryExpertOnceAndEvenly) {
  const auto [num_layers, num_experts, num_workers] = GetParam();
  std::vector<int32_t> layers;
  for (int i = 0; i < num_layers; ++i) {
    layers.push_back(3 + 2 * i);
  }
  const Placement placement = StaticPlacement(layers, num_experts, num_workers);
  EXPECT_EQ(placement.epoch(), 1);
  std::vector<int> total(num_workers, 0);
  for (const int layer : layers) {
    std::vector<int> in_layer(num_workers, 0);
    for (int expert = 0; expert < num_experts; ++expert) {
      ASSERT_EQ(placement.WorkersOf(layer, expert).size(), 1) << "layer " << layer << ", expert " << expert;
      const int worker = placement.WorkersOf(layer, expert)[0];
      ASSERT_GE(worker, 0);
      ASSERT_LT(worker, num_workers);
      ++in_layer[worker];
      ++total[worker];
    }
    EXPECT_LE(Spread(in_layer), 1) << "layer " << layer;
  }
  EXPECT_LE(Spread(total), 1);
}

TEST_P(StaticPlacementTest, ExpertsOfIsTheInverseOfWorkersOf) {
  const auto [num_layers, num_experts, num_workers] = GetParam();
  std::vector<int32_t> layers;
  for (int i = 0; i < num_layers; ++i) {
    layers.push_back(i);
  }
  const Placement placement = StaticPlacement(layers, num_experts, num_workers);
  size_t listed = 0;
  for (int worker = 0; worker < num_workers; ++worker) {
    const std::vector<LayerExpert> experts = placement.ExpertsOf(worker);
    EXPECT_TRUE(std::is_sorted(experts.begin(), experts.end()));
    for (const LayerExpert& id : experts) {
      EXPECT_THAT(placement.WorkersOf(id.layer, id.expert), ElementsAre(worker));
    }
    listed += experts.size();
  }
  EXPECT_EQ(listed, static_cast<size_t>(num_layers) * num_experts);
}

INSTANTIATE_TEST_SUITE_P(Shapes, StaticPlacementTest,
                         ::testing::Combine(::testing::Values(1, 2, 7, 58), ::testing::Values(1, 3, 8, 64),
                                            ::testing::Values(1, 2, 3, 5, 16)));

TEST(PlacementTest, KeepsReplicasInOrderOfPreference) {
  const Placement placement(9, {1, 4}, 2, 3, {{2, 0}, {1}, {}, {0, 1, 2}});
  EXPECT_EQ(placement.epoch(), 9);
  EXPECT_EQ(placement.num_workers(), 3);
  EXPECT_THAT(placement.WorkersOf(1, 0), ElementsAre(2, 0));
  EXPECT_THAT(placement.WorkersOf(1, 1), ElementsAre(1));
  EXPECT_THAT(placement.WorkersOf(4, 0), IsEmpty());
  EXPECT_THAT(placement.WorkersOf(4, 1), ElementsAre(0, 1, 2));
  EXPECT_THAT(placement.ExpertsOf(0), ElementsAre(LayerExpert{1, 0}, LayerExpert{4, 1}));
}

TEST(PlacementTest, HasNoWorkersForExpertsThatTheModelLacks) {
  const Placement placement = StaticPlacement({1, 3}, 4, 2);
  EXPECT_THAT(placement.WorkersOf(0, 0), IsEmpty());
  EXPECT_THAT(placement.WorkersOf(2, 0), IsEmpty());
  EXPECT_THAT(placement.WorkersOf(-1, 0), IsEmpty());
  EXPECT_THAT(placement.WorkersOf(4, 0), IsEmpty());
  EXPECT_THAT(placement.WorkersOf(1, -1), IsEmpty());
  EXPECT_THAT(placement.WorkersOf(1, 4), IsEmpty());
  EXPECT_THAT(Placement().ExpertsOf(0), IsEmpty());
}

}  // namespace
}  // namespace tandem::scheduler
