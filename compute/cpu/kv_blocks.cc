#include "compute/cpu/kv_blocks.h"

#include <cstring>

#include "absl/container/flat_hash_set.h"
#include "compute/cpu/memory.h"
#include "compute/cpu/quantize.h"
#include "compute/cpu/row_kernels.h"

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

bool Matches(const Tensor& tensor, const KvCacheLayer& cache, DType dtype, int64_t width) {
  return tensor.shape() == Shape({cache.num_blocks(), cache.num_kv_heads(), cache.block_size(), width}) &&
         tensor.dtype() == dtype;
}

// One head's row, in parts [0, first_part) and [first_part, dim) where that is between the two.
void StoreRow(const float* x, int64_t dim, int64_t first_part, DType dtype, std::byte* to, float* scales) {
  if (scales == nullptr) {
    ConvertRow(x, DType::kF32, to, dtype, dim);
    return;
  }
  const int64_t cut = first_part > 0 ? first_part : dim;
  scales[0] = QuantizeRow(x, dtype, to, cut);
  if (first_part > 0) {
    scales[1] = QuantizeRow(x + cut, dtype, to + cut * static_cast<int64_t>(DTypeBytes(dtype)), dim - cut);
  }
}

void StoreRows(const Tensor& rows, const Tensor& scales, const CpuBatchLayout::Row& place, const float* x,
               int64_t first_part) {
  const int64_t heads = rows.dim(1);
  const int64_t dim = rows.dim(3);
  const int64_t row_bytes = dim * static_cast<int64_t>(DTypeBytes(rows.dtype()));
  for (int64_t head = 0; head < heads; ++head) {
    const int64_t row = (place.block * heads + head) * rows.dim(2) + place.offset;
    StoreRow(x + head * dim, dim, first_part, rows.dtype(), RawData(rows) + row * row_bytes,
             scales.defined() ? Data<float>(scales) + row * scales.dim(3) : nullptr);
  }
}

}  // namespace

void CheckCache(const KvCacheLayer& cache, const CpuBatchLayout& batch, int64_t num_kv_heads, int64_t key_dim) {
  TANDEM_CHECK(cache.keys.shape().rank() == 4 && cache.num_kv_heads() == num_kv_heads && cache.key_dim() == key_dim &&
                   cache.block_size() == batch.block_size() && batch.max_block() < cache.num_blocks(),
               "keys [", cache.keys.dim(0), ", ", cache.keys.dim(1), ", ", cache.keys.dim(2), ", ", cache.keys.dim(3),
               "], batch uses block ", batch.max_block(), " of ", batch.block_size(), ", model ", num_kv_heads,
               " heads of ", key_dim);
  const bool latent = !cache.values.defined();
  const bool quantized = IsQuantized(cache.dtype());
  TANDEM_CHECK(IsKvCacheDType(cache.dtype()), "KV cache of ", DTypeName(cache.dtype()));
  TANDEM_CHECK(latent || Matches(cache.values, cache, cache.dtype(), cache.values.dim(3)), "values do not match keys");
  TANDEM_CHECK(quantized ? Matches(cache.key_scales, cache, DType::kF32, latent ? 2 : 1) : !cache.key_scales.defined(),
               "key_scales do not match keys");
  TANDEM_CHECK(
      quantized && !latent ? Matches(cache.value_scales, cache, DType::kF32, 1) : !cache.value_scales.defined(),
      "value_scales do not match values");
}

void StoreKeys(const KvCacheLayer& cache, const CpuBatchLayout::Row& place, const float* keys, int64_t latent_dim) {
  StoreRows(cache.keys, cache.key_scales, place, keys, latent_dim);
}

void StoreValues(const KvCacheLayer& cache, const CpuBatchLayout::Row& place, const float* values) {
  StoreRows(cache.values, cache.value_scales, place, values, 0);
}

void CopyBlocks(ThreadPool& pool, const KvCacheLayer& cache, absl::Span<const BlockCopy> copies) {
  CheckCopies(cache.keys.dim(0), copies);
  for (const Tensor& tensor : {cache.keys, cache.values, cache.key_scales, cache.value_scales}) {
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
