#include "compute/cpu/attention_kernel.h"

#include <algorithm>

#include "compute/backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compute/cpu/attention_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "compute/cpu/attention_inl.h"
#include "compute/cpu/simd_inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

#ifndef TANDEM_COMPUTE_CPU_ATTENTION_KERNEL_ONCE_
#define TANDEM_COMPUTE_CPU_ATTENTION_KERNEL_ONCE_
namespace tandem::compute::cpu {
namespace {

constexpr int kTile = kAttentionTile;

constexpr int Padded(int dim) { return (dim + 15) / 16 * 16; }

// What is kept for each query, and how working memory is cut up for that.
struct QueryState {
  QueryState(int num_queries, const KvView& kv, float* base)
      : key_stride(Padded(kv.key_dim)), value_stride(Padded(kv.value_dim)) {
    q = base;
    acc = q + num_queries * key_stride;
    scores = acc + num_queries * value_stride;
    max = scores + num_queries * kTile;
    sum = max + num_queries;
    end = sum + num_queries;
  }
  // The state of the queries from `first` on.
  QueryState From(int first) const {
    QueryState state = *this;
    state.q += first * key_stride;
    state.acc += first * value_stride;
    state.scores += first * kTile;
    state.max += first;
    state.sum += first;
    return state;
  }

  int key_stride;
  int value_stride;
  float* q;       // [num_queries, key_stride]
  float* acc;     // [num_queries, value_stride]
  float* scores;  // [num_queries, kTile], then probabilities
  float* max;     // [num_queries]
  float* sum;     // [num_queries]
  float* end;
};

// The slots of a tile's positions in the cache.
struct TileSlots {
  TileSlots(const KvView& kv, int32_t start, int32_t end) : count(std::clamp(end - start, 0, kTile)) {
    for (int j = 0; j < count; ++j) {
      const int32_t position = start + j;
      slot[j] = int64_t{kv.block_table[position / kv.block_size]} * kv.block_size + position % kv.block_size;
    }
  }

  int count;
  int64_t slot[kTile];
};

// The positions of a tile that a query sees, relative to the tile; empty when begin >= end.
struct Range {
  int begin = 0;
  int end = 0;
  bool empty() const { return begin >= end; }
  bool full() const { return begin == 0 && end == kTile; }
};

Range VisibleRange(int32_t position, int window, int32_t tile_start) {
  const int32_t first = window > 0 ? std::max(0, position - window + 1) : 0;
  return {std::clamp(first - tile_start, 0, kTile), std::clamp(position + 1 - tile_start, 0, kTile)};
}

}  // namespace
}  // namespace tandem::compute::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace tandem::compute::cpu {
namespace HWY_NAMESPACE {

// scores[i][j] = q[i] · keys[j] for j < num_keys, and anything up to the next multiple of 8.
void ScoreTile(const QueryState& w, int num_queries, const float* const* keys, int num_keys) {
  float out[8];
  int i = 0;
  for (; i + 4 <= num_queries; i += 4) {
    for (int j = 0; j < num_keys; j += 2) {
      EightDots<4, 2>(w.q + i * w.key_stride, w.key_stride, keys + j, w.key_stride, out);
      for (int r = 0; r < 4; ++r) {
        std::memcpy(w.scores + (i + r) * kTile + j, out + r * 2, 2 * sizeof(float));
      }
    }
  }
  for (; i < num_queries; ++i) {
    for (int j = 0; j < num_keys; j += 8) {
      EightDots<1, 8>(w.q + i * w.key_stride, w.key_stride, keys + j, w.key_stride, w.scores + i * kTile + j);
    }
  }
}

// Turns the scores of queries [first, first + count), count ≤ 8, into probabilities relative to their new maxima and
// sets the factors for what they have summed up so far (online softmax, arXiv:1805.02867). Queries whose range is empty
// keep their state.
void SoftmaxTile(const QueryState& w, int first, int count, const Range* ranges, float scale, float* correction) {
  VF rows[8][kParts];
  for (int i = 0; i < 8; ++i) {
    // Rows past the end repeat the first one, whose results they do not touch.
    float* scores = w.scores + (first + (i < count ? i : 0)) * kTile;
    if (i < count) {
      const Range range = ranges[first + i];
      for (int j = 0; j < range.begin; ++j) scores[j] = -HUGE_VALF;
      for (int j = range.end; j < kTile; ++j) scores[j] = -HUGE_VALF;
      Store16(Mul(Load16(scores), Splat16(scale)), scores);
      Store16(Mul(Load16(scores + 16), Splat16(scale)), scores + 16);
    }
    const F16 low = Load16(scores);
    const F16 high = Load16(scores + 16);
    for (int p = 0; p < kParts; ++p) rows[i][p] = hn::Max(low.part[p], high.part[p]);
  }
  alignas(64) float reduced[16] = {};
  ReduceEight(rows, reduced, MaxOp());
  alignas(64) float new_max[16] = {};
  alignas(64) float shift[16] = {};
  for (int i = 0; i < count; ++i) {
    const float old = w.max[first + i];
    new_max[i] = reduced[i] > old ? reduced[i] : old;
    shift[i] = old - new_max[i];
  }
  Store16(Exp(Load16(shift)), shift);
  for (int i = 0; i < count; ++i) {
    float* scores = w.scores + (first + i) * kTile;
    const F16 offset = Splat16(new_max[i]);
    const F16 low = Exp(Sub(Load16(scores), offset));
    const F16 high = Exp(Sub(Load16(scores + 16), offset));
    Store16(low, scores);
    Store16(high, scores + 16);
    for (int p = 0; p < kParts; ++p) rows[i][p] = hn::Add(low.part[p], high.part[p]);
  }
  ReduceEight(rows, reduced, AddOp());
  for (int i = 0; i < count; ++i) {
    if (!ranges[first + i].empty()) {
      w.max[first + i] = new_max[i];
      w.sum[first + i] = w.sum[first + i] * shift[i] + reduced[i];
      correction[first + i] = shift[i];
    }
  }
}

template <int kQueries, int kVectors>
void AccumulateRows(float* acc, int dim, const float* correction, const float* p, const float* const* values,
                    Range range) {
  int offset = 0;
  for (; offset + kVectors * kLanes <= dim; offset += kVectors * kLanes) {
    AccumulateBlock<kQueries, kVectors>(acc, dim, correction, p, values, offset, range.begin, range.end);
  }
  for (; offset < dim; offset += kLanes) {
    AccumulateBlock<kQueries, 1>(acc, dim, correction, p, values, offset, range.begin, range.end);
  }
}

// One head's keys or values in the cache.
struct HeadRows {
  const std::byte* base;
  int64_t slot_bytes;
  int dim;
  DType dtype;

  const std::byte* Row(int64_t slot) const { return base + slot * slot_bytes; }
  int64_t row_bytes() const { return dim * static_cast<int64_t>(DTypeBytes(dtype)); }
};

HeadRows HeadKeys(const KvView& kv, int head) {
  const auto element_bytes = static_cast<int64_t>(DTypeBytes(kv.dtype));
  return {kv.keys + head * kv.key_dim * element_bytes, kv.key_slot_stride * element_bytes, kv.key_dim, kv.dtype};
}

HeadRows HeadValues(const KvView& kv, int head) {
  const auto element_bytes = static_cast<int64_t>(DTypeBytes(kv.dtype));
  return {kv.values + head * kv.value_dim * element_bytes, kv.value_slot_stride * element_bytes, kv.value_dim,
          kv.dtype};
}

// Points rows[j] at the tile's rows: in the cache itself where they are contiguous f32, else widened and zero-padded in
// `copy`, because rows a power of two apart would evict each other from the first-level cache. Meanwhile asks for the
// rows that come next, which lie too far apart for the hardware to foresee. (Asking for all heads' rows of the next
// tile in one sweep was slower: they come too early.)
void GatherTile(const HeadRows& head, const TileSlots& tile, const HeadRows& next_head, const TileSlots& next_tile,
                float* copy, const float** rows) {
  const int dim = head.dim;
  const int stride = Padded(dim);
  for (int j = 0; j < tile.count; ++j) {
    if (j < next_tile.count) {
      const std::byte* next = next_head.Row(next_tile.slot[j]);
      for (int64_t i = 0; i < head.row_bytes(); i += 64) hwy::Prefetch(next + i);
    }
    const std::byte* row = head.Row(tile.slot[j]);
    float* to = copy + j * stride;
    rows[j] = to;
    if (head.dtype == DType::kBF16) {
      const auto* from = reinterpret_cast<const uint16_t*>(row);
      int k = 0;
      for (; k + 16 <= dim; k += 16) Store16(Load16(from + k), to + k);
      if (k < dim) Store16(Load16Partial(from + k, dim - k), to + k);
    } else if (stride == dim && head.row_bytes() == head.slot_bytes) {
      rows[j] = reinterpret_cast<const float*>(row);
    } else {
      std::fill_n(std::copy_n(reinterpret_cast<const float*>(row), dim, to), stride - dim, 0.0f);
    }
  }
  // Rows past the end are read by the blocked kernels, and their results dropped.
  for (int j = tile.count; j < kTile; ++j) rows[j] = rows[0];
}

void AttendTile(const QueryState& w, absl::Span<const Query> queries, const float* const* keys,
                const float* const* values, int32_t tile_start, int count, float scale, int window) {
  const int n = static_cast<int>(queries.size());
  ScoreTile(w, n, keys, count);
  Range ranges[kMaxQueries];
  float correction[kMaxQueries];
  for (int i = 0; i < n; ++i) {
    ranges[i] = VisibleRange(queries[static_cast<size_t>(i)].position, window, tile_start);
  }
  for (int i = 0; i < n; i += 8) {
    SoftmaxTile(w, i, std::min(8, n - i), ranges, scale, correction);
  }
  for (int i = 0; i < n;) {
    const bool four =
        i + 4 <= n && ranges[i].full() && ranges[i + 1].full() && ranges[i + 2].full() && ranges[i + 3].full();
    float* acc = w.acc + i * w.value_stride;
    const float* p = w.scores + i * kTile;
    if (four) {
      AccumulateRows<4, 2>(acc, w.value_stride, correction + i, p, values, ranges[i]);
    } else if (!ranges[i].empty()) {
      AccumulateRows<1, 8>(acc, w.value_stride, correction + i, p, values, ranges[i]);
    }
    i += four ? 4 : 1;
  }
}

void AttendQueries(const KvView& kv, absl::Span<const Query> queries, float scale, int window, float* scratch) {
  const int n = static_cast<int>(queries.size());
  const int queries_per_head = n / kv.num_heads;
  const QueryState state(n, kv, scratch);
  int32_t first = INT32_MAX;
  int32_t end = 0;
  for (int i = 0; i < n; ++i) {
    const Query& query = queries[static_cast<size_t>(i)];
    std::fill_n(std::copy_n(query.q, kv.key_dim, state.q + i * state.key_stride), state.key_stride - kv.key_dim, 0.0f);
    state.max[i] = -HUGE_VALF;
    state.sum[i] = 0;
    first = std::min(first, window > 0 ? std::max(0, query.position - window + 1) : 0);
    end = std::max(end, query.position + 1);
  }
  std::fill_n(state.acc, n * state.value_stride, 0.0f);
  float* const key_copy = state.end;
  float* const value_copy = key_copy + kTile * state.key_stride;
  const float* keys[kTile];
  const float* values[kTile];
  for (int32_t start = first / kTile * kTile; start < end; start += kTile) {
    const TileSlots tile(kv, start, end);
    const TileSlots following(kv, start + kTile, end);
    for (int head = 0; head < kv.num_heads; ++head) {
      const bool last = head + 1 == kv.num_heads;
      const TileSlots& next_tile = last ? following : tile;
      const int next_head = last ? 0 : head + 1;
      GatherTile(HeadKeys(kv, head), tile, HeadKeys(kv, next_head), next_tile, key_copy, keys);
      // A value read from a key may run on into the key's later elements: they land in padding that is never returned.
      if (kv.values != nullptr) {
        GatherTile(HeadValues(kv, head), tile, HeadValues(kv, next_head), next_tile, value_copy, values);
      }
      AttendTile(state.From(head * queries_per_head),
                 queries.subspan(static_cast<size_t>(head * queries_per_head), static_cast<size_t>(queries_per_head)),
                 keys, kv.values != nullptr ? values : keys, start, tile.count, scale, window);
    }
  }
  for (int i = 0; i < n; ++i) {
    float* out = queries[static_cast<size_t>(i)].out;
    for (int k = 0; k < kv.value_dim; ++k) out[k] = state.acc[i * state.value_stride + k] / state.sum[i];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::compute::cpu {

HWY_EXPORT(AttendQueries);

int64_t AttentionScratchFloats(int num_queries, int key_dim, int value_dim) {
  return int64_t{num_queries + kTile} * (Padded(key_dim) + Padded(value_dim)) + num_queries * (kTile + 2);
}

void AttendQueries(const KvView& kv, absl::Span<const Query> queries, float scale, int window, float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendQueries)(kv, queries, scale, window, scratch);
}

}  // namespace tandem::compute::cpu
#endif  // HWY_ONCE
