// The blocks of a KV cache: checks, rows written to it, copies inside it.
#pragma once

#include "absl/types/span.h"
#include "compute/backend.h"
#include "compute/cpu/batch_layout.h"
#include "compute/cpu/thread_pool.h"

namespace tandem::compute::cpu {

// CHECKs that the cache is whole, has heads of this kind, and holds the batch's blocks.
void CheckCache(const KvCacheLayer& cache, const CpuBatchLayout& batch, int64_t num_kv_heads, int64_t key_dim);

// Writes one position's keys, [num_kv_heads, key_dim] f32, in the cache's dtype; likewise its values. Of a latent cache
// the first `latent_dim` elements of the key have a scale of their own.
void StoreKeys(const KvCacheLayer& cache, const CpuBatchLayout::Row& place, const float* keys, int64_t latent_dim = 0);
void StoreValues(const KvCacheLayer& cache, const CpuBatchLayout::Row& place, const float* values);

// As Backend::CopyBlocks.
void CopyBlocks(ThreadPool& pool, const KvCacheLayer& cache, absl::Span<const BlockCopy> copies);

}  // namespace tandem::compute::cpu
