// Copies of whole blocks inside a KV cache.
#pragma once

#include "absl/types/span.h"
#include "compute/backend.h"
#include "compute/cpu/thread_pool.h"

namespace tandem::compute::cpu {

// As Backend::CopyBlocks.
void CopyBlocks(ThreadPool& pool, const KvCacheLayer& cache, absl::Span<const BlockCopy> copies);

}  // namespace tandem::compute::cpu
