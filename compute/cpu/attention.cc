#include "compute/cpu/attention.h"

#include <algorithm>

#include "compute/cpu/kv_blocks.h"
#include "compute/cpu/memory.h"

namespace tandem::compute::cpu {
namespace {

constexpr int kMinQueries = 4;

void CheckShapes(const AttentionArgs& args, const Tensor& q, const CpuBatchLayout& batch, const KvCacheLayer& cache,
                 const Tensor& out) {
  TANDEM_CHECK(q.shape().rank() == 3 && q.dim(0) == batch.num_rows(), "q of ", q.dim(0), " rows, batch of ",
               batch.num_rows());
  CheckCache(cache, batch, cache.num_kv_heads(), q.dim(2));
  TANDEM_CHECK(cache.num_kv_heads() > 0 && q.dim(1) % cache.num_kv_heads() == 0, q.dim(1), " heads on ",
               cache.num_kv_heads(), " KV heads");
  TANDEM_CHECK(args.sliding_window >= 0, "sliding_window ", args.sliding_window);
  TANDEM_CHECK(args.value_dim > 0 && out.shape() == Shape({q.dim(0), q.dim(1), args.value_dim}), "value_dim ",
               args.value_dim);
  if (cache.values.defined()) {
    TANDEM_CHECK(cache.values.dim(3) == args.value_dim, "values of ", cache.values.dim(3));
  } else {
    TANDEM_CHECK(args.value_dim <= cache.key_dim(), "value_dim ", args.value_dim, " of a key of ", cache.key_dim());
  }
}

KvView View(const KvCacheLayer& cache, int value_dim) {
  KvView view;
  view.dtype = cache.dtype();
  view.keys = RawData(cache.keys);
  view.values = cache.values.defined() ? RawData(cache.values) : nullptr;
  view.key_scales = cache.key_scales.defined() ? Data<float>(cache.key_scales) : nullptr;
  view.value_scales = cache.value_scales.defined() ? Data<float>(cache.value_scales) : nullptr;
  view.num_kv_heads = static_cast<int>(cache.num_kv_heads());
  view.key_dim = static_cast<int>(cache.key_dim());
  view.value_dim = value_dim;
  view.block_size = static_cast<int>(cache.block_size());
  return view;
}

}  // namespace

void AttentionRunner::Run(ThreadPool& pool, const AttentionArgs& args, const Tensor& q, const CpuBatchLayout& batch,
                          const KvCacheLayer& cache, const Tensor& out) {
  CheckShapes(args, q, batch, cache, out);
  const int num_heads = static_cast<int>(q.dim(1));
  const int num_kv_heads = static_cast<int>(cache.num_kv_heads());
  const int heads_per_kv_head = num_heads / num_kv_heads;
  // Many queries in one piece read the cache once for all of them, and neighbouring heads in one sweep; fewer give
  // every thread something to do.
  const size_t wanted = pool.num_threads() == 1 ? 1 : 2 * static_cast<size_t>(pool.num_threads());
  int max_queries = 2 * kMaxQueries;
  do {
    max_queries /= 2;
    CutPieces(batch, num_kv_heads, heads_per_kv_head, max_queries);
  } while (max_queries > kMinQueries && pieces_.size() < wanted);

  const KvView cache_view = View(cache, args.value_dim);
  const int key_dim = static_cast<int>(q.dim(2));
  const float* const q_data = Data<float>(q);
  float* const out_data = Data<float>(out);
  // Late pieces of a prefill chunk are the long ones: start with those.
  const int64_t num_pieces = static_cast<int64_t>(pieces_.size());
  if (num_pieces == 0) {
    return;
  }
  int64_t multiply_adds = 0;
  for (const SequenceRows& sequence : batch.sequences()) {
    multiply_adds +=
        int64_t{sequence.num_rows} * (sequence.position + sequence.num_rows) * num_heads * (key_dim + args.value_dim);
  }
  ForEachRow(pool, num_pieces, multiply_adds / num_pieces, [&](int64_t i) {
    const Piece& piece = pieces_[static_cast<size_t>(num_pieces - 1 - i)];
    const SequenceRows& sequence = batch.sequences()[static_cast<size_t>(piece.sequence)];
    KvView view = cache_view;
    view.first_head = piece.kv_head;
    view.num_heads = piece.num_kv_heads;
    view.block_table = sequence.block_table.data();
    Query queries[kMaxQueries];
    int count = 0;
    for (int32_t kv_head = piece.kv_head; kv_head < piece.kv_head + piece.num_kv_heads; ++kv_head) {
      for (int32_t row = piece.row; row < piece.row + piece.num_rows; ++row) {
        for (int32_t head = piece.head; head < piece.head + piece.num_heads; ++head) {
          const int64_t index = (int64_t{row} * num_kv_heads + kv_head) * heads_per_kv_head + head;
          queries[count++] = {q_data + index * key_dim, out_data + index * args.value_dim,
                              batch.rows()[static_cast<size_t>(row)].position};
        }
      }
    }
    thread_local Scratch scratch;
    AttendQueries(view, absl::MakeConstSpan(queries, static_cast<size_t>(count)), args.scale, args.sliding_window,
                  scratch.Reserve(AttentionScratchFloats(kMaxQueries, key_dim, args.value_dim)));
  });
}

void AttentionRunner::CutPieces(const CpuBatchLayout& batch, int num_kv_heads, int heads_per_kv_head, int max_queries) {
  pieces_.clear();
  const int head_step = std::min(heads_per_kv_head, max_queries);
  const int max_rows = std::max(1, max_queries / head_step);
  for (size_t s = 0; s < batch.sequences().size(); ++s) {
    const SequenceRows& sequence = batch.sequences()[s];
    const int row_step = std::min(max_rows, sequence.num_rows);
    for (int row = 0; row < sequence.num_rows; row += row_step) {
      const int num_rows = std::min(row_step, sequence.num_rows - row);
      const int kv_step = std::max(1, max_queries / (head_step * row_step));
      for (int kv_head = 0; kv_head < num_kv_heads; kv_head += kv_step) {
        for (int head = 0; head < heads_per_kv_head; head += head_step) {
          pieces_.push_back({static_cast<int32_t>(s), sequence.first_row + row, num_rows, kv_head,
                             std::min(kv_step, num_kv_heads - kv_head), head,
                             std::min(head_step, heads_per_kv_head - head)});
        }
      }
    }
  }
}

}  // namespace tandem::compute::cpu
