#include "compute/cpu/test_util.h"

namespace tandem::compute::cpu {
namespace {

constexpr int kBlocks = 9, kBlockSize = 4, kHeads = 2, kKeyDim = 24, kValueDim = 16;

std::vector<float> Copied(std::vector<float> rows, int dim, const std::vector<BlockCopy>& copies) {
  const int block = kBlockSize * kHeads * dim;
  for (const BlockCopy& copy : copies) {
    std::copy_n(rows.begin() + copy.from * block, block, rows.begin() + copy.to * block);
  }
  return rows;
}

class CopyBlocksTest : public testing::TestWithParam<DType> {};

TEST_P(CopyBlocksTest, CopiesNamedBlocksAndLeavesTheOthersAlone) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const DType dtype = GetParam();
  const std::vector<float> keys = RoundedTo(dtype, RandomVector(kBlocks * kBlockSize * kHeads * kKeyDim, 1));
  const std::vector<float> values = RoundedTo(dtype, RandomVector(kBlocks * kBlockSize * kHeads * kValueDim, 2));
  const KvCacheLayer cache{Make(*backend, dtype, {kBlocks, kBlockSize, kHeads, kKeyDim}, keys),
                           Make(*backend, dtype, {kBlocks, kBlockSize, kHeads, kValueDim}, values)};
  const std::vector<BlockCopy> copies = {{0, 8}, {3, 4}, {3, 1}};
  backend->CopyBlocks(cache, copies);
  EXPECT_EQ(Values(*backend, cache.keys), Copied(keys, kKeyDim, copies));
  EXPECT_EQ(Values(*backend, cache.values), Copied(values, kValueDim, copies));
}

TEST_P(CopyBlocksTest, CopiesALatentCacheThatHasNoValues) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::vector<float> keys = RoundedTo(GetParam(), RandomVector(kBlocks * kBlockSize * kHeads * kKeyDim, 1));
  const KvCacheLayer cache{Make(*backend, GetParam(), {kBlocks, kBlockSize, kHeads, kKeyDim}, keys), Tensor()};
  backend->CopyBlocks(cache, {});
  EXPECT_EQ(Values(*backend, cache.keys), keys);
  const std::vector<BlockCopy> copies = {{5, 2}};
  backend->CopyBlocks(cache, copies);
  EXPECT_EQ(Values(*backend, cache.keys), Copied(keys, kKeyDim, copies));
}

INSTANTIATE_TEST_SUITE_P(DTypes, CopyBlocksTest, testing::Values(DType::kF32, DType::kBF16));

TEST(CopyBlocksDeathTest, RefusesOverlappingCopies) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const KvCacheLayer cache{Make(*backend, DType::kF32, {3, kBlockSize, 1, kKeyDim}), Tensor()};
  const auto copy = [&](const std::vector<BlockCopy>& copies) { backend->CopyBlocks(cache, copies); };
  EXPECT_DEATH(copy({{0, 1}, {2, 1}}), "two copies to block 1");
  EXPECT_DEATH(copy({{0, 1}, {1, 2}}), "block 1 is a source and a target");
  EXPECT_DEATH(copy({{0, 3}}), "copy of block 0 to 3 in a cache of 3");
}

}  // namespace
}  // namespace tandem::compute::cpu
