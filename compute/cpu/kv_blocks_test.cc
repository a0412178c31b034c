#include "compute/cpu/kv_blocks.h"

#include "compute/cpu/test_util.h"

namespace tandem::compute::cpu {
namespace {

constexpr int kBlocks = 9, kBlockSize = 4, kHeads = 2, kKeyDim = 24, kValueDim = 16;

// Every row of a cache filled with values that differ.
void Fill(const KvCacheLayer& cache, bool latent) {
  for (int32_t i = 0; i < kBlocks * kBlockSize; ++i) {
    const CpuBatchLayout::Row place{0, i / kBlockSize, i % kBlockSize};
    const auto seed = static_cast<uint32_t>(i);
    StoreKeys(cache, place, RandomVector(cache.num_kv_heads() * kKeyDim, seed).data(), latent ? kValueDim : 0);
    if (!latent) {
      StoreValues(cache, place, RandomVector(cache.num_kv_heads() * kValueDim, 1000 + seed).data());
    }
  }
}

std::vector<double> Copied(std::vector<double> elements, const std::vector<BlockCopy>& copies) {
  const auto block = static_cast<int64_t>(elements.size()) / kBlocks;
  for (const BlockCopy& copy : copies) {
    std::copy_n(elements.begin() + copy.from * block, block, elements.begin() + copy.to * block);
  }
  return elements;
}

class CopyBlocksTest : public testing::TestWithParam<DType> {};

TEST_P(CopyBlocksTest, CopiesNamedBlocksAndLeavesTheOthersAlone) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const KvCacheLayer cache = MakeCache(*backend, {kHeads, kKeyDim, kValueDim}, GetParam(), kBlocks, kBlockSize);
  Fill(cache, false);
  const std::vector<double> keys = CachedKeys(*backend, cache, kKeyDim), values = CachedValues(*backend, cache);
  const std::vector<BlockCopy> copies = {{0, 8}, {3, 4}, {3, 1}};
  backend->CopyBlocks(cache, copies);
  EXPECT_EQ(CachedKeys(*backend, cache, kKeyDim), Copied(keys, copies));
  EXPECT_EQ(CachedValues(*backend, cache), Copied(values, copies));
}

TEST_P(CopyBlocksTest, CopiesALatentCacheThatHasNoValues) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const KvCacheLayer cache = MakeCache(*backend, {1, kKeyDim, kValueDim, true}, GetParam(), kBlocks, kBlockSize);
  Fill(cache, true);
  const std::vector<double> keys = CachedKeys(*backend, cache, kValueDim);
  backend->CopyBlocks(cache, {});
  EXPECT_EQ(CachedKeys(*backend, cache, kValueDim), keys);
  const std::vector<BlockCopy> copies = {{5, 2}};
  backend->CopyBlocks(cache, copies);
  EXPECT_EQ(CachedKeys(*backend, cache, kValueDim), Copied(keys, copies));
}

INSTANTIATE_TEST_SUITE_P(DTypes, CopyBlocksTest,
                         testing::Values(DType::kF32, DType::kBF16, DType::kI8, DType::kF8E4M3));

TEST(CopyBlocksDeathTest, RefusesOverlappingCopies) {
  CpuOptions options;
  options.num_threads = 1;  // a process with threads does not fork well
  const std::unique_ptr<Backend> backend = CreateCpuBackend(options);
  const KvCacheLayer cache = MakeCache(*backend, {1, kKeyDim, kValueDim, true}, DType::kF32, 3, kBlockSize);
  const auto copy = [&](const std::vector<BlockCopy>& copies) { backend->CopyBlocks(cache, copies); };
  EXPECT_DEATH(copy({{0, 1}, {2, 1}}), "two copies to block 1");
  EXPECT_DEATH(copy({{0, 1}, {1, 2}}), "block 1 is a source and a target");
  EXPECT_DEATH(copy({{0, 3}}), "copy of block 0 to 3 in a cache of 3");
}

}  // namespace
}  // namespace tandem::compute::cpu
