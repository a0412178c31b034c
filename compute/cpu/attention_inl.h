// Register blocks of the attention kernel, compiled once per instruction set.
#if defined(TANDEM_COMPUTE_CPU_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TANDEM_COMPUTE_CPU_ATTENTION_INL_H_
#undef TANDEM_COMPUTE_CPU_ATTENTION_INL_H_
#else
#define TANDEM_COMPUTE_CPU_ATTENTION_INL_H_
#endif

#include <cstdint>

#include "compute/backend.h"
#include "compute/cpu/simd_inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::compute::cpu {
namespace HWY_NAMESPACE {

// --- eight reductions at a time, each by the tree of Sum16
// ------------------------------------------------------------

struct AddOp {
  template <typename V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Add(a, b);
  }
};

struct MaxOp {
  template <typename V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Max(a, b);
  }
};

#if HWY_MAX_BYTES >= 32
using D8 = hn::FixedTag<float, 8>;
using V8 = hn::Vec<D8>;

// Lanes i and i + 8.
template <typename Op>
HWY_INLINE V8 FoldHalves(const VF* parts, Op op) {
#if HWY_MAX_BYTES >= 64
  return op(hn::LowerHalf(D8(), parts[0]), hn::UpperHalf(D8(), parts[0]));
#else
  return op(parts[0], parts[1]);
#endif
}

// Lanes i and i + 4 of a, then of b.
template <typename Op>
HWY_INLINE V8 FoldBlocks(V8 a, V8 b, Op op) {
  const D8 d;
  return op(hn::ConcatLowerLower(d, b, a), hn::ConcatUpperUpper(d, b, a));
}

// Lanes i and i + 2 of each block of four: a's and b's results alternate in pairs.
template <typename Op>
HWY_INLINE V8 FoldPairs(V8 a, V8 b, Op op) {
  const D8 d;
  const hn::FixedTag<double, 4> dd;
  const auto x = hn::BitCast(dd, a);
  const auto y = hn::BitCast(dd, b);
  return op(hn::BitCast(d, hn::InterleaveLower(dd, x, y)), hn::BitCast(d, hn::InterleaveUpper(dd, x, y)));
}

template <typename Op>
HWY_INLINE void ReduceEight(const VF (*rows)[kParts], float* out, Op op) {
  const V8 b0 = FoldBlocks(FoldHalves(rows[0], op), FoldHalves(rows[4], op), op);
  const V8 b1 = FoldBlocks(FoldHalves(rows[1], op), FoldHalves(rows[5], op), op);
  const V8 b2 = FoldBlocks(FoldHalves(rows[2], op), FoldHalves(rows[6], op), op);
  const V8 b3 = FoldBlocks(FoldHalves(rows[3], op), FoldHalves(rows[7], op), op);
  const V8 c0 = FoldPairs(b0, b2, op);
  const V8 c1 = FoldPairs(b1, b3, op);
  hn::StoreU(op(hn::OddEven(hn::DupEven(c1), c0), hn::OddEven(c1, hn::DupOdd(c0))), D8(), out);
}
#else
template <typename Op>
HWY_INLINE void ReduceEight(const VF (*rows)[kParts], float* out, Op op) {
  const hn::CappedTag<float, 1> d1;
  for (int row = 0; row < 8; ++row) {
    alignas(64) float lane[16];
    for (int p = 0; p < kParts; ++p) hn::StoreU(rows[row][p], DF(), lane + p * kLanes);
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) {
        lane[i] = hn::GetLane(op(hn::Set(d1, lane[i]), hn::Set(d1, lane[i + half])));
      }
    }
    out[row] = lane[0];
  }
}
#endif

// out[i * kKeys + j] = q[i] · keys[j], kQueries * kKeys = 8. `dim` is a multiple of 16.
template <int kQueries, int kKeys, typename T>
HWY_INLINE void EightDots(const float* q, int q_stride, const T* const* keys, int dim, float* out) {
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
      for (int j = 0; j < kKeys; ++j) key[j] = LoadLanes(keys[j] + k);
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
  ReduceEight(dots, out, AddOp());
}

// acc[i] = acc[i] * correction[i] + Σ_j p[i][j] values[j], j ascending over [begin, end), for kQueries queries and
// kVectors registers' worth of value elements.
template <int kQueries, int kVectors, typename T>
HWY_INLINE void AccumulateBlock(float* acc, int acc_stride, const float* correction, const float* p,
                                const T* const* values, int offset, int begin, int end) {
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
  for (int j = begin; j < end; ++j) {
    const T* value = values[j] + offset;
    VF element[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) element[v] = LoadLanes(value + v * kLanes);
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
      const VF weight = hn::Set(d, p[i * kAttentionTile + j]);
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

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#endif  // TANDEM_COMPUTE_CPU_ATTENTION_INL_H_
