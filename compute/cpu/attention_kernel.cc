#include "compute/cpu/attention_kernel.h"

#include <algorithm>

#include "compute/backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compute/cpu/attention_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "compute/cpu/simd_inl.h"
#include "hwy/highway.h"

#ifndef TANDEM_COMPUTE_CPU_ATTENTION_KERNEL_ONCE_
#define TANDEM_COMPUTE_CPU_ATTENTION_KERNEL_ONCE_
namespace tandem::compute::cpu {
namespace {

constexpr int kTile = kAttentionTile;

constexpr int Padded(int dim) { return (dim + 15) / 16 * 16; }

// How working memory is cut up.
struct Workspace {
  Workspace(int num_queries, int key_dim, int value_dim, float* base)
      : key_stride(Padded(key_dim)), value_stride(Padded(value_dim)) {
    q = base;
    acc = q + num_queries * key_stride;
    scores = acc + num_queries * value_stride;
    keys = scores + num_queries * kTile;
    values = keys + kTile * key_stride;
  }

  int key_stride;
  int value_stride;
  float* q;       // [num_queries, key_stride]
  float* acc;     // [num_queries, value_stride]
  float* scores;  // [num_queries, kTile], then probabilities
  float* keys;    // [kTile, key_stride], a widened tile
  float* values;  // [kTile, value_stride]
  float max[kMaxQueries];
  float sum[kMaxQueries];
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

// --- sums of eight dot products at a time, each by the tree of Sum16
// ---------------------------------------------------

#if HWY_MAX_BYTES >= 32
using D8 = hn::FixedTag<float, 8>;
using V8 = hn::Vec<D8>;

// Lanes i and i + 8.
HWY_INLINE V8 Fold(const VF* parts) {
#if HWY_MAX_BYTES >= 64
  return hn::Add(hn::LowerHalf(D8(), parts[0]), hn::UpperHalf(D8(), parts[0]));
#else
  return hn::Add(parts[0], parts[1]);
#endif
}

HWY_INLINE V8 FoldBlocks(V8 a, V8 b) {
  const D8 d;
  return hn::Add(hn::ConcatLowerLower(d, b, a), hn::ConcatUpperUpper(d, b, a));
}

HWY_INLINE V8 FoldPairs(V8 a, V8 b) {
  const D8 d;
  const hn::FixedTag<double, 4> dd;
  const auto x = hn::BitCast(dd, a);
  const auto y = hn::BitCast(dd, b);
  return hn::Add(hn::BitCast(d, hn::InterleaveLower(dd, x, y)), hn::BitCast(d, hn::InterleaveUpper(dd, x, y)));
}

HWY_INLINE void SumEight(const VF (*dots)[kParts], float* out) {
  const V8 b0 = FoldBlocks(Fold(dots[0]), Fold(dots[4]));
  const V8 b1 = FoldBlocks(Fold(dots[1]), Fold(dots[5]));
  const V8 b2 = FoldBlocks(Fold(dots[2]), Fold(dots[6]));
  const V8 b3 = FoldBlocks(Fold(dots[3]), Fold(dots[7]));
  const V8 c0 = FoldPairs(b0, b2);
  const V8 c1 = FoldPairs(b1, b3);
  const V8 even = hn::OddEven(hn::DupEven(c1), c0);
  const V8 odd = hn::OddEven(c1, hn::DupOdd(c0));
  hn::StoreU(hn::Add(even, odd), D8(), out);
}
#else
HWY_INLINE void SumEight(const VF (*dots)[kParts], float* out) {
  for (int i = 0; i < 8; ++i) {
    F16 v;
    for (int p = 0; p < kParts; ++p) v.part[p] = dots[i][p];
    out[i] = Sum16(v);
  }
}
#endif

// out[i * kKeys + j] = q[i] · keys[j], kQueries * kKeys = 8. `dim` is a multiple of 16.
template <int kQueries, int kKeys>
HWY_INLINE void EightDots(const float* q, int q_stride, const float* const* keys, int dim, float* out) {
  static_assert(kQueries * kKeys == 8);
  const DF d;
  VF dots[8][kParts];
#pragma GCC unroll 4
  for (int p = 0; p < kParts; ++p) {
    VF acc[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) acc[i] = hn::Zero(d);
    for (int k = p * kLanes; k < dim; k += 16) {
      VF key[kKeys];
#pragma GCC unroll 8
      for (int j = 0; j < kKeys; ++j) key[j] = hn::LoadU(d, keys[j] + k);
#pragma GCC unroll 8
      for (int i = 0; i < kQueries; ++i) {
        const VF query = hn::LoadU(d, q + i * q_stride + k);
#pragma GCC unroll 8
        for (int j = 0; j < kKeys; ++j) acc[i * kKeys + j] = Fma(query, key[j], acc[i * kKeys + j]);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) dots[i][p] = acc[i];
  }
  SumEight(dots, out);
}

// scores[i][j] = q[i] · keys[j] for j < num_keys, and anything up to the next multiple of 8.
void ScoreTile(const Workspace& w, int num_queries, const float* const* keys, int num_keys) {
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

// Turns a query's scores into probabilities relative to its new maximum and returns the factor for what it has summed
// up so far (online softmax, arXiv:1805.02867).
HWY_INLINE float SoftmaxTile(float* scores, Range range, float scale, float& max, float& sum) {
  for (int j = 0; j < range.begin; ++j) scores[j] = -HUGE_VALF;
  for (int j = range.end; j < kTile; ++j) scores[j] = -HUGE_VALF;
  const F16 factor = Splat16(scale);
  const F16 low = Mul(Load16(scores), factor);
  const F16 high = Mul(Load16(scores + 16), factor);
  const float tile_max = std::max(Max16(low), Max16(high));
  const float new_max = tile_max > max ? tile_max : max;
  const F16 offset = Splat16(new_max);
  const F16 p_low = Exp(Sub(low, offset));
  const F16 p_high = Exp(Sub(high, offset));
  Store16(p_low, scores);
  Store16(p_high, scores + 16);
  alignas(64) float correction[16];
  Store16(Exp(Sub(Splat16(max), offset)), correction);
  sum = sum * correction[0] + Sum16(Add(p_low, p_high));
  max = new_max;
  return correction[0];
}

// acc[i] = acc[i] * correction[i] + Σ_j p[i][j] values[j], j ascending over [begin, end), for kQueries queries and
// kVectors registers' worth of value elements.
template <int kQueries, int kVectors>
HWY_INLINE void AccumulateBlock(float* acc, int acc_stride, const float* correction, const float* p,
                                const float* const* values, int offset, Range range) {
  const DF d;
  VF sum[kQueries][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kQueries; ++i) {
    const VF c = hn::Set(d, correction[i]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sum[i][v] = hn::Mul(hn::LoadU(d, acc + i * acc_stride + offset + v * kLanes), c);
    }
  }
  for (int j = range.begin; j < range.end; ++j) {
    const float* value = values[j] + offset;
    VF element[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) element[v] = hn::LoadU(d, value + v * kLanes);
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
      const VF weight = hn::Set(d, p[i * kTile + j]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[i][v] = Fma(weight, element[v], sum[i][v]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[i][v], d, acc + i * acc_stride + offset + v * kLanes);
  }
}

template <int kQueries, int kVectors>
void AccumulateRows(float* acc, int dim, const float* correction, const float* p, const float* const* values,
                    Range range) {
  int offset = 0;
  for (; offset + kVectors * kLanes <= dim; offset += kVectors * kLanes) {
    AccumulateBlock<kQueries, kVectors>(acc, dim, correction, p, values, offset, range);
  }
  for (; offset < dim; offset += kLanes) {
    AccumulateBlock<kQueries, 1>(acc, dim, correction, p, values, offset, range);
  }
}

// Points rows[j] at `count` positions' keys or values from `tile_start` on, in the cache itself if the kernels can read
// it as it is, else widened and zero-padded in `copy`.
void GatherTile(const KvView& kv, const std::byte* base, int64_t slot_stride, int dim, int32_t tile_start, int count,
                float* copy, const float** rows) {
  const int stride = Padded(dim);
  for (int j = 0; j < count; ++j) {
    const int32_t position = tile_start + j;
    const int64_t slot = int64_t{kv.block_table[position / kv.block_size]} * kv.block_size + position % kv.block_size;
    if (kv.dtype == DType::kF32) {
      const float* from = reinterpret_cast<const float*>(base) + slot * slot_stride;
      rows[j] = from;
      if (stride == dim) {
        continue;
      }
      std::fill_n(std::copy_n(from, dim, copy + j * stride), stride - dim, 0.0f);
    } else {
      const uint16_t* from = reinterpret_cast<const uint16_t*>(base) + slot * slot_stride;
      int k = 0;
      for (; k + 16 <= dim; k += 16) Store16(Load16(from + k), copy + j * stride + k);
      if (k < dim) Store16(Load16Partial(from + k, dim - k), copy + j * stride + k);
    }
    rows[j] = copy + j * stride;
  }
  // Rows past the end are read by the blocked kernels, and their results dropped.
  for (int j = count; j < kTile; ++j) rows[j] = rows[0];
}

void AttendTile(Workspace& w, absl::Span<const Query> queries, const float* const* keys, const float* const* values,
                int32_t tile_start, int count, float scale, int window) {
  const int n = static_cast<int>(queries.size());
  ScoreTile(w, n, keys, count);
  Range ranges[kMaxQueries];
  float correction[kMaxQueries];
  for (int i = 0; i < n; ++i) {
    ranges[i] = VisibleRange(queries[static_cast<size_t>(i)].position, window, tile_start);
    if (!ranges[i].empty()) {
      correction[i] = SoftmaxTile(w.scores + i * kTile, ranges[i], scale, w.max[i], w.sum[i]);
    }
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
  Workspace w(n, kv.key_dim, kv.value_dim, scratch);
  int32_t first = INT32_MAX;
  int32_t last = 0;
  for (int i = 0; i < n; ++i) {
    const Query& query = queries[static_cast<size_t>(i)];
    std::fill_n(std::copy_n(query.q, kv.key_dim, w.q + i * w.key_stride), w.key_stride - kv.key_dim, 0.0f);
    w.max[i] = -HUGE_VALF;
    w.sum[i] = 0;
    first = std::min(first, window > 0 ? std::max(0, query.position - window + 1) : 0);
    last = std::max(last, query.position);
  }
  std::fill_n(w.acc, n * w.value_stride, 0.0f);
  const float* keys[kTile];
  const float* values[kTile];
  const bool values_in_keys = kv.values == nullptr;
  for (int32_t start = first / kTile * kTile; start <= last; start += kTile) {
    const int count = std::min(kTile, last + 1 - start);
    GatherTile(kv, kv.keys, kv.key_slot_stride, kv.key_dim, start, count, w.keys, keys);
    // The value prefix of a widened key may run into its later elements: they land in padding that is never returned.
    if (!values_in_keys) {
      GatherTile(kv, kv.values, kv.value_slot_stride, kv.value_dim, start, count, w.values, values);
    }
    AttendTile(w, queries, keys, values_in_keys ? keys : values, start, count, scale, window);
  }
  for (int i = 0; i < n; ++i) {
    float* out = queries[static_cast<size_t>(i)].out;
    for (int k = 0; k < kv.value_dim; ++k) out[k] = w.acc[i * w.value_stride + k] / w.sum[i];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::compute::cpu {

HWY_EXPORT(AttendQueries);

int64_t AttentionScratchFloats(int num_queries, int key_dim, int value_dim) {
  return int64_t{num_queries + kTile} * (Padded(key_dim) + Padded(value_dim)) + num_queries * kTile;
}

void AttendQueries(const KvView& kv, absl::Span<const Query> queries, float scale, int window, float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendQueries)(kv, queries, scale, window, scratch);
}

}  // namespace tandem::compute::cpu
#endif  // HWY_ONCE
