#include "compute/kv_cache.h"

#include "base/status.h"
#include "compute/backend.h"

namespace tandem::compute {

bool IsKvCacheDType(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16 || IsQuantized(dtype); }

int64_t KvRowBytes(const KvRow& row, DType dtype) {
  const int64_t elements = row.key_dim + (row.latent ? 0 : row.value_dim);
  const int64_t scales = IsQuantized(dtype) ? row.key_scales() + (row.latent ? 0 : 1) : 0;
  return row.num_kv_heads *
         (elements * static_cast<int64_t>(DTypeBytes(dtype)) + scales * static_cast<int64_t>(DTypeBytes(DType::kF32)));
}

absl::StatusOr<KvCacheLayer> AllocateKvCacheLayer(Backend& backend, const KvRow& row, DType dtype, int64_t num_blocks,
                                                  int64_t block_size) {
  TANDEM_CHECK(IsKvCacheDType(dtype), "KV cache of ", DTypeName(dtype));
  const auto allocate = [&](DType element, int64_t width) {
    return backend.Allocate(element, {num_blocks, row.num_kv_heads, block_size, width});
  };
  KvCacheLayer layer;
  ASSIGN_OR_RETURN(layer.keys, allocate(dtype, row.key_dim));
  if (!row.latent) {
    ASSIGN_OR_RETURN(layer.values, allocate(dtype, row.value_dim));
  }
  if (IsQuantized(dtype)) {
    ASSIGN_OR_RETURN(layer.key_scales, allocate(DType::kF32, row.key_scales()));
    if (!row.latent) {
      ASSIGN_OR_RETURN(layer.value_scales, allocate(DType::kF32, 1));
    }
  }
  return layer;
}

}  // namespace tandem::compute
