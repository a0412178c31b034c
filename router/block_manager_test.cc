#include "router/block_manager.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace tandem::router {
namespace {

constexpr int kBlock = 4;

std::vector<int32_t> Tokens(int count, int first = 0) {
  std::vector<int32_t> tokens(count);
  for (int i = 0; i < count; ++i) {
    tokens[i] = first + i;
  }
  return tokens;
}

// A table whose `count` tokens were computed and published.
BlockTable Computed(BlockManager& manager, const std::vector<int32_t>& tokens, const std::string& salt = "") {
  BlockTable table;
  manager.Match(tokens, static_cast<int64_t>(tokens.size()), salt, table);
  EXPECT_TRUE(manager.Grow(table, static_cast<int64_t>(tokens.size())));
  manager.Publish(table, tokens, static_cast<int64_t>(tokens.size()), salt);
  return table;
}

TEST(BlockManager, GrowsByWholeBlocksAllOrNothing) {
  BlockManager manager(4, kBlock);
  BlockTable table;
  EXPECT_TRUE(manager.Grow(table, 1));
  EXPECT_EQ(table.blocks.size(), 1u);
  EXPECT_TRUE(manager.Grow(table, 4));
  EXPECT_EQ(table.blocks.size(), 1u);
  EXPECT_FALSE(manager.Grow(table, 17));
  EXPECT_EQ(table.blocks.size(), 1u);
  EXPECT_TRUE(manager.Grow(table, 16));
  EXPECT_EQ(manager.num_available(), 0);
  manager.Release(table);
  EXPECT_EQ(manager.num_available(), 4);
}

TEST(BlockManager, FindsTheLongestPrefixOfFullBlocks) {
  BlockManager manager(16, kBlock);
  BlockTable first = Computed(manager, Tokens(11));
  BlockTable second;
  EXPECT_EQ(manager.Match(Tokens(11), 11, "", second), 8);
  EXPECT_EQ(second.blocks[1], first.blocks[1]);
  BlockTable third;
  EXPECT_EQ(manager.Match(Tokens(8), 7, "", third), 4) << "at most max_tokens";
  std::vector<int32_t> other = Tokens(8);
  other[5] = 99;
  BlockTable fourth;
  EXPECT_EQ(manager.Match(other, 8, "", fourth), 4);
  BlockTable fifth;
  EXPECT_EQ(manager.Match(Tokens(4, 4), 4, "", fifth), 0) << "the second block alone is no prefix";
}

TEST(BlockManager, KeepsBlocksOfFinishedSequencesUntilMemoryIsNeeded) {
  BlockManager manager(4, kBlock);
  BlockTable table = Computed(manager, Tokens(16));
  manager.Release(table);
  EXPECT_EQ(manager.num_available(), 4);
  BlockTable next;
  ASSERT_TRUE(manager.Grow(next, 8));  // evicts two: the end of the chain
  BlockTable again;
  EXPECT_EQ(manager.Match(Tokens(16), 16, "", again), 8);
}

TEST(BlockManager, SaltsSeparate) {
  BlockManager manager(16, kBlock);
  BlockTable mine = Computed(manager, Tokens(8), "mine");
  BlockTable table;
  EXPECT_EQ(manager.Match(Tokens(8), 8, "", table), 0);
  EXPECT_EQ(manager.Match(Tokens(8), 8, "yours", table), 0);
  EXPECT_EQ(manager.Match(Tokens(8), 8, "mine", table), 8);
}

TEST(BlockManager, EqualBlocksBecomeOne) {
  BlockManager manager(16, kBlock);
  BlockTable a;
  BlockTable b;
  ASSERT_TRUE(manager.Grow(a, 8));
  ASSERT_TRUE(manager.Grow(b, 8));
  manager.Publish(a, Tokens(8), 8, "");
  manager.Publish(b, Tokens(8), 8, "");
  EXPECT_EQ(a.blocks, b.blocks);
  EXPECT_EQ(manager.num_available(), 14);
}

TEST(BlockManager, CopiesOnlyWhatOthersRead) {
  BlockManager manager(8, kBlock);
  BlockTable parent;
  ASSERT_TRUE(manager.Grow(parent, 6));
  BlockTable child = manager.Share(parent);
  EXPECT_TRUE(manager.NeedsCopy(child, 6));
  EXPECT_FALSE(manager.NeedsCopy(child, 8)) << "a block that is not there yet";
  const auto copy = manager.Replace(child, 6);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->first, parent.blocks[1]);
  EXPECT_EQ(copy->second, child.blocks[1]);
  EXPECT_FALSE(manager.NeedsCopy(parent, 6));
  manager.Release(parent);
  manager.Release(child);
  EXPECT_EQ(manager.num_available(), 8);
}

TEST(BlockManager, WithoutCachingNothingIsFound) {
  BlockManager manager(8, kBlock, /*prefix_caching=*/false);
  BlockTable table = Computed(manager, Tokens(8));
  manager.Release(table);
  EXPECT_EQ(manager.Match(Tokens(8), 8, "", table), 0);
  EXPECT_EQ(manager.num_cached(), 0);
}

// A random life of many sequences with common prefixes. `contents` plays the KV cache: what was written to a block.
TEST(BlockManager, EveryReaderSeesItsOwnTokens) {
  std::mt19937 random(3);
  BlockManager manager(60, kBlock);
  std::map<int32_t, std::map<int, int32_t>> contents;  // block, offset -> token
  struct Reader {
    std::vector<int32_t> tokens;
    int64_t written = 0;
    BlockTable table;
  };
  std::vector<Reader> readers;
  for (int step = 0; step < 20000; ++step) {
    const int what = static_cast<int>(random() % 10);
    if (what < 2) {
      Reader reader;
      reader.tokens = Tokens(static_cast<int>(1 + random() % 3) * 3, static_cast<int>(random() % 2));
      reader.written = manager.Match(reader.tokens, static_cast<int64_t>(reader.tokens.size()) - 1, "", reader.table);
      readers.push_back(std::move(reader));
    } else if (what == 2 && !readers.empty()) {
      const Reader& parent = readers[random() % readers.size()];
      readers.push_back({parent.tokens, parent.written, manager.Share(parent.table)});
    } else if (what == 3 && !readers.empty()) {
      const size_t victim = random() % readers.size();
      manager.Release(readers[victim].table);
      readers.erase(readers.begin() + static_cast<int64_t>(victim));
    } else if (!readers.empty()) {
      Reader& reader = readers[random() % readers.size()];
      if (reader.written == static_cast<int64_t>(reader.tokens.size())) {
        reader.tokens.push_back(static_cast<int32_t>(random() % 2));
      }
      const int64_t position = reader.written;
      if (manager.NeedsCopy(reader.table, position)) {
        const auto copy = manager.Replace(reader.table, position);
        if (!copy.has_value()) continue;
        contents[copy->second] = contents[copy->first];
      }
      if (!manager.Grow(reader.table, position + 1)) continue;
      contents[reader.table.blocks[position / kBlock]][position % kBlock] = reader.tokens[position];
      ++reader.written;
      manager.Publish(reader.table, reader.tokens, reader.written, "");
    }
    for (const Reader& reader : readers) {
      for (int64_t i = 0; i < reader.written; ++i) {
        ASSERT_EQ(contents[reader.table.blocks[i / kBlock]][i % kBlock], reader.tokens[i]) << "step " << step;
      }
    }
  }
  for (Reader& reader : readers) {
    manager.Release(reader.table);
  }
  EXPECT_EQ(manager.num_available(), 60);
}

TEST(BlockManagerDeathTest, NoticesABlockReleasedTwice) {
  BlockManager manager(2, kBlock);
  BlockTable table;
  ASSERT_TRUE(manager.Grow(table, 1));
  BlockTable copy = table;
  manager.Release(table);
  EXPECT_DEATH(manager.Release(copy), "released twice");
}

}  // namespace
}  // namespace tandem::router
