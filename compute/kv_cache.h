// One layer's paged KV cache.
//
// Quantized caches (int8, float8_e4m3) keep a code for each element and f32 scales for each position and KV head; an
// element is its code times its scale. A head's key or value has one scale, the largest magnitude over 127 (int8) or
// 448 (fp8); MLA's key has two, of its latent and of its rotated part, whose magnitudes have nothing to do with each
// other. Rows are quantized alone, hence the invariance contract holds for every dtype.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "compute/dtype.h"
#include "compute/tensor.h"

namespace tandem::compute {

class Backend;

// f32, bf16, i8 or f8e4m3.
bool IsKvCacheDType(DType dtype);
inline bool IsQuantized(DType dtype) { return dtype == DType::kI8 || dtype == DType::kF8E4M3; }

// What one position takes in one layer.
struct KvRow {
  int64_t num_kv_heads = 0;
  int64_t key_dim = 0;
  int64_t value_dim = 0;
  bool latent = false;  // MLA: a value is the first value_dim elements of the key

  int64_t key_scales() const { return latent ? 2 : 1; }
};

// A head's rows of one block are contiguous, so that attention reads long runs of memory.
struct KvCacheLayer {
  Tensor keys;          // [num_blocks, num_kv_heads, block_size, key_dim]
  Tensor values;        // [num_blocks, num_kv_heads, block_size, value_dim], same dtype; absent in latent caches
  Tensor key_scales;    // [num_blocks, num_kv_heads, block_size, KvRow::key_scales()] f32; absent unless quantized
  Tensor value_scales;  // [num_blocks, num_kv_heads, block_size, 1] f32; absent unless quantized, and in latent caches

  int64_t num_blocks() const { return keys.dim(0); }
  int64_t num_kv_heads() const { return keys.dim(1); }
  int64_t block_size() const { return keys.dim(2); }
  int64_t key_dim() const { return keys.dim(3); }
  DType dtype() const { return keys.dtype(); }
};

// Bytes that one position takes in one layer.
int64_t KvRowBytes(const KvRow& row, DType dtype);

// Errors: RESOURCE_EXHAUSTED.
absl::StatusOr<KvCacheLayer> AllocateKvCacheLayer(Backend& backend, const KvRow& row, DType dtype, int64_t num_blocks,
                                                  int64_t block_size);

}  // namespace tandem::compute
