// Attention of a batch over the paged KV cache, and what fills that cache.
#pragma once

#include <vector>

#include "compute/cpu/attention_kernel.h"
#include "compute/cpu/batch_layout.h"
#include "compute/cpu/gemm.h"
#include "compute/cpu/thread_pool.h"

namespace tandem::compute::cpu {

// As Backend::PagedAttention. Not thread-safe: it owns the list of work.
class AttentionRunner {
 public:
  void Run(ThreadPool& pool, const AttentionArgs& args, const Tensor& q, const CpuBatchLayout& batch,
           const KvCacheLayer& cache, const Tensor& out);

 private:
  // Rows [row, row + num_rows) of a sequence, with heads [head, head + num_heads) of the query heads that each of the
  // KV heads [kv_head, kv_head + num_kv_heads) serves.
  struct Piece {
    int32_t sequence = 0;
    int32_t row = 0;
    int32_t num_rows = 0;
    int32_t kv_head = 0;
    int32_t num_kv_heads = 0;
    int32_t head = 0;
    int32_t num_heads = 0;
  };

  void CutPieces(const CpuBatchLayout& batch, int num_kv_heads, int heads_per_kv_head, int max_queries);

  std::vector<Piece> pieces_;
};

// As Backend::PrepareGqa.
void PrepareGqa(ThreadPool& pool, const GqaArgs& args, const Tensor& qkv, const CpuBatchLayout& batch,
                const KvCacheLayer& cache, const Tensor& q_out);

// As Backend::PrepareMla.
void PrepareMla(ThreadPool& pool, Scratch& scratch, const MlaArgs& args, const Tensor& q, const Tensor& kv_a,
                const CpuBatchLayout& batch, const KvCacheLayer& cache, const Tensor& q_out);

}  // namespace tandem::compute::cpu
