#include "compute/cpu/attention_kernel.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "compute/backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compute/cpu/attention_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "compute/cpu/attention_inl.h"
#include "compute/cpu/attention_tile_inl.h"
#include "compute/cpu/simd_inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::compute::cpu {
namespace HWY_NAMESPACE {

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

// scores[i][j] = q[i] · keys[j] for j < count, and anything up to the next multiple of 8. Meanwhile asks for the rows
// of `next`, where given.
template <typename T>
void ScoreTile(const QueryState& w, int num_queries, const Tile<T>& tile, const Tile<T>* next) {
  float out[8];
  int i = 0;
  for (; i + 4 <= num_queries; i += 4) {
    for (int j = 0; j < tile.count; j += 2) {
      if (i == 0 && next != nullptr) {
        for (int r = 0; r < 2; ++r) next->PrefetchRow(j + r);
      }
      EightDots<4, 2>(w.q + i * w.key_stride, w.key_stride, tile.keys + j, w.key_stride, out);
      for (int r = 0; r < 4; ++r) {
        std::memcpy(w.scores + (i + r) * kTile + j, out + r * 2, 2 * sizeof(float));
      }
    }
  }
  for (; i < num_queries; ++i) {
    for (int j = 0; j < tile.count; j += 8) {
      if (i == 0 && next != nullptr) {
        for (int r = 0; r < 8; ++r) next->PrefetchRow(j + r);
      }
      EightDots<1, 8>(w.q + i * w.key_stride, w.key_stride, tile.keys + j, w.key_stride, w.scores + i * kTile + j);
    }
  }
}

// Turns the scores of queries [first, first + count), count ≤ 8, into probabilities relative to their new maxima and
// sets the factors for what they have summed up so far (online softmax, arXiv:1805.02867). Queries whose range is empty
// keep their state.
void SoftmaxTile(const QueryState& w, int first, int count, const Range* ranges, const TileScales& scales,
                 float* correction) {
  VF rows[8][kParts];
  for (int i = 0; i < 8; ++i) {
    // Rows past the end repeat the first one, whose results they do not touch.
    float* scores = w.scores + (first + (i < count ? i : 0)) * kTile;
    if (i < count) {
      const Range range = ranges[first + i];
      Store16(Mul(Load16(scores), Load16(scales.key)), scores);
      Store16(Mul(Load16(scores + 16), Load16(scales.key + 16)), scores + 16);
      for (int j = 0; j < range.begin; ++j) scores[j] = -HUGE_VALF;
      for (int j = range.end; j < kTile; ++j) scores[j] = -HUGE_VALF;
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
    Store16(scales.scaled_values ? Mul(low, Load16(scales.value)) : low, scores);
    Store16(scales.scaled_values ? Mul(high, Load16(scales.value + 16)) : high, scores + 16);
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

template <int kQueries, int kVectors, typename T>
void AccumulateRows(float* acc, int dim, const float* correction, const float* p, const T* const* values, Range range) {
  int offset = 0;
  for (; offset + kVectors * kLanes <= dim; offset += kVectors * kLanes) {
    AccumulateBlock<kQueries, kVectors>(acc, dim, correction, p, values, offset, range.begin, range.end);
  }
  for (; offset < dim; offset += kLanes) {
    AccumulateBlock<kQueries, 1>(acc, dim, correction, p, values, offset, range.begin, range.end);
  }
}

template <typename T>
void AttendTile(const QueryState& w, absl::Span<const Query> queries, const Tile<T>& tile, const Tile<T>* next,
                int window) {
  const int n = static_cast<int>(queries.size());
  ScoreTile(w, n, tile, next);
  Range ranges[kMaxQueries];
  float correction[kMaxQueries];
  for (int i = 0; i < n; ++i) {
    ranges[i] = VisibleRange(queries[static_cast<size_t>(i)].position, window, tile.start);
  }
  for (int i = 0; i < n; i += 8) {
    SoftmaxTile(w, i, std::min(8, n - i), ranges, tile.scales, correction);
  }
  for (int i = 0; i < n;) {
    const bool four =
        i + 4 <= n && ranges[i].full() && ranges[i + 1].full() && ranges[i + 2].full() && ranges[i + 3].full();
    float* acc = w.acc + i * w.value_stride;
    const float* p = w.scores + i * kTile;
    if (four) {
      AccumulateRows<4, 2>(acc, w.value_stride, correction + i, p, tile.values, ranges[i]);
    } else if (!ranges[i].empty()) {
      AccumulateRows<1, 8>(acc, w.value_stride, correction + i, p, tile.values, ranges[i]);
    }
    i += four ? 4 : 1;
  }
}

// Few queries read the cache where it lies; for more of them it is widened once, and so are rows that need padding or
// have two scales. The bits are the same.
template <typename T>
bool ReadsInPlace(const KvView& kv, int queries_per_head) {
  const bool whole_vectors = kv.key_dim % 16 == 0 && (kv.values == nullptr || kv.value_dim % 16 == 0);
  const bool two_scales = kv.key_scales != nullptr && kv.values == nullptr;
  return whole_vectors && !two_scales && (std::is_same_v<T, float> || queries_per_head <= 4);
}

// Copies the queries in and returns the positions that they see together, from the start of a tile.
std::pair<int32_t, int32_t> StartQueries(const KvView& kv, absl::Span<const Query> queries, int window,
                                         const QueryState& state) {
  int32_t first = INT32_MAX;
  int32_t end = 0;
  for (size_t i = 0; i < queries.size(); ++i) {
    const Query& query = queries[i];
    float* const to = state.q + static_cast<int64_t>(i) * state.key_stride;
    std::fill_n(std::copy_n(query.q, kv.key_dim, to), state.key_stride - kv.key_dim, 0.0f);
    state.max[i] = -HUGE_VALF;
    state.sum[i] = 0;
    first = std::min(first, window > 0 ? std::max(0, query.position - window + 1) : 0);
    end = std::max(end, query.position + 1);
  }
  std::fill_n(state.acc, static_cast<int64_t>(queries.size()) * state.value_stride, 0.0f);
  return {first / kTile * kTile, end};
}

template <typename T>
void AttendQueriesTo(const KvView& kv, absl::Span<const Query> queries, float scale, int window, float* scratch) {
  const int n = static_cast<int>(queries.size());
  const int queries_per_head = n / kv.num_heads;
  const QueryState state(n, kv, scratch);
  const auto [first, end] = StartQueries(kv, queries, window, state);
  const bool in_place = ReadsInPlace<T>(kv, queries_per_head);
  Tile<T> tiles[2];  // by turns the tile at work and the one after it
  Tile<float> widened;
  TileRows rows(kv, first, end);
  PointAtTile(kv, rows, kv.first_head, scale, tiles[0]);
  int turn = 0;
  for (int32_t start = first; start < end; start += kTile) {
    for (int head = 0; head < kv.num_heads; ++head, turn ^= 1) {
      const bool last = head + 1 == kv.num_heads;
      if (last) rows = TileRows(kv, start + kTile, end);
      const Tile<T>& tile = tiles[turn];
      Tile<T>& next = tiles[turn ^ 1];
      PointAtTile(kv, rows, kv.first_head + (last ? 0 : head + 1), scale, next);
      const QueryState head_state = state.From(head * queries_per_head);
      const absl::Span<const Query> head_queries =
          queries.subspan(static_cast<size_t>(head * queries_per_head), static_cast<size_t>(queries_per_head));
      if (in_place) {
        AttendTile(head_state, head_queries, tile, &next, window);
      } else {
        WidenTile(kv, tile, next, state.end, widened);
        AttendTile<float>(head_state, head_queries, widened, nullptr, window);
      }
    }
  }
  for (int i = 0; i < n; ++i) {
    float* out = queries[static_cast<size_t>(i)].out;
    for (int k = 0; k < kv.value_dim; ++k) out[k] = state.acc[i * state.value_stride + k] / state.sum[i];
  }
}

void AttendQueries(const KvView& kv, absl::Span<const Query> queries, float scale, int window, float* scratch) {
  switch (kv.dtype) {
    case DType::kBF16:
      return AttendQueriesTo<uint16_t>(kv, queries, scale, window, scratch);
    case DType::kI8:
      return AttendQueriesTo<int8_t>(kv, queries, scale, window, scratch);
    case DType::kF8E4M3:
      return AttendQueriesTo<F8Code>(kv, queries, scale, window, scratch);
    default:
      return AttendQueriesTo<float>(kv, queries, scale, window, scratch);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::compute::cpu {

HWY_EXPORT(AttendQueries);

int64_t AttentionScratchFloats(int num_queries, int key_dim, int value_dim) {
  const int64_t padded = (key_dim + 15) / 16 * 16 + (value_dim + 15) / 16 * 16;
  return (num_queries + kAttentionTile) * padded + num_queries * (kAttentionTile + 2);
}

void AttendQueries(const KvView& kv, absl::Span<const Query> queries, float scale, int window, float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendQueries)(kv, queries, scale, window, scratch);
}

}  // namespace tandem::compute::cpu
#endif  // HWY_ONCE
