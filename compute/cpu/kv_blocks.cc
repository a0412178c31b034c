#include "compute/cpu/kv_blocks.h"

#include <cstring>

#include "absl/container/flat_hash_set.h"
#include "compute/cpu/memory.h"

namespace tandem::compute::cpu {
namespace {

void CheckCopies(int64_t num_blocks, absl::Span<const BlockCopy> copies) {
  absl::flat_hash_set<int32_t> targets;
  for (const BlockCopy& copy : copies) {
    TANDEM_CHECK(copy.from >= 0 && copy.from < num_blocks && copy.to >= 0 && copy.to < num_blocks, "copy of block ",
                 copy.from, " to ", copy.to, " in a cache of ", num_blocks);
    TANDEM_CHECK(targets.insert(copy.to).second, "two copies to block ", copy.to);
  }
  for (const BlockCopy& copy : copies) {
    TANDEM_CHECK(!targets.contains(copy.from), "block ", copy.from, " is a source and a target");
  }
}

}  // namespace

void CopyBlocks(ThreadPool& pool, const KvCacheLayer& cache, absl::Span<const BlockCopy> copies) {
  CheckCopies(cache.keys.dim(0), copies);
  for (const Tensor& tensor : {cache.keys, cache.values}) {
    if (!tensor.defined() || tensor.dim(0) == 0) {
      continue;
    }
    const int64_t block_bytes = tensor.size_bytes() / tensor.dim(0);
    std::byte* const data = RawData(tensor);
    ForEachRow(pool, static_cast<int64_t>(copies.size()), 2 * block_bytes, [&](int64_t i) {
      const BlockCopy& copy = copies[static_cast<size_t>(i)];
      std::memcpy(data + copy.to * block_bytes, data + copy.from * block_bytes, static_cast<size_t>(block_bytes));
    });
  }
}

}  // namespace tandem::compute::cpu
