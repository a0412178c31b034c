#include "router/block_manager.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace tandem::router {
namespace {

TEST(BlockManager, RoundsUpToWholeBlocks) {
  BlockManager manager(4, 16);
  EXPECT_EQ(manager.Allocate(1)->size(), 1u);
  EXPECT_EQ(manager.Allocate(17)->size(), 2u);
  EXPECT_EQ(manager.num_free(), 1);
}

TEST(BlockManager, GivesAllOrNothing) {
  BlockManager manager(4, 16);
  EXPECT_FALSE(manager.Allocate(65).has_value());
  EXPECT_EQ(manager.num_free(), 4);
  EXPECT_TRUE(manager.Allocate(64).has_value());
  EXPECT_FALSE(manager.Allocate(1).has_value());
}

TEST(BlockManagerDeathTest, NoticesABlockFreedTwice) {
  BlockManager manager(2, 16);
  const std::vector<int32_t> blocks = *manager.Allocate(16);
  manager.Free(blocks);
  EXPECT_DEATH(manager.Free(blocks), "freed twice");
}

// Property: no block has two owners at any time, and none is lost.
TEST(BlockManager, NeverHandsOutABlockTwice) {
  std::mt19937 random(3);
  BlockManager manager(50, 8);
  std::vector<std::vector<int32_t>> owners;
  std::set<int32_t> used;
  for (int step = 0; step < 5000; ++step) {
    if (random() % 2 == 0 || owners.empty()) {
      auto blocks = manager.Allocate(1 + random() % 80);
      if (blocks.has_value()) {
        for (const int32_t block : *blocks) {
          EXPECT_TRUE(used.insert(block).second);
        }
        owners.push_back(*std::move(blocks));
      }
    } else {
      const size_t victim = random() % owners.size();
      for (const int32_t block : owners[victim]) {
        used.erase(block);
      }
      manager.Free(owners[victim]);
      owners.erase(owners.begin() + static_cast<int64_t>(victim));
    }
    EXPECT_EQ(manager.num_free() + static_cast<int64_t>(used.size()), 50);
  }
}

}  // namespace
}  // namespace tandem::router
