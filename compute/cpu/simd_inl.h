// Vector helpers for the kernels, compiled once per instruction set (Highway's per-target include).
//
// Kernels are written on F16, sixteen virtual lanes made of one, two or four registers. A lane always holds the same
// element whatever the register width, every multiply-add is fused, and cross-lane sums use one fixed tree; hence all
// instruction sets give the same bits.
#if defined(TANDEM_COMPUTE_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TANDEM_COMPUTE_CPU_SIMD_INL_H_
#undef TANDEM_COMPUTE_CPU_SIMD_INL_H_
#else
#define TANDEM_COMPUTE_CPU_SIMD_INL_H_
#endif

#include <cmath>
#include <cstdint>
#include <cstring>

#include "compute/cpu/f8_code.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::compute::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DU = hn::RebindToUnsigned<DF>;
using DI = hn::RebindToSigned<DF>;
using VF = hn::Vec<DF>;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(DF()));
inline constexpr int kParts = 16 / kLanes;

// a * b + c with one rounding, on every target.
HWY_INLINE VF Fma(VF a, VF b, VF c) {
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
  alignas(64) float x[16], y[16], z[16];
  const DF d;
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (int i = 0; i < kLanes; ++i) {
    z[i] = std::fma(x[i], y[i], z[i]);
  }
  return hn::Load(d, z);
#else
  return hn::MulAdd(a, b, c);
#endif
}

struct F16 {
  VF part[kParts];
};

HWY_INLINE F16 Splat16(float value) {
  F16 r;
  for (int i = 0; i < kParts; ++i) r.part[i] = hn::Set(DF(), value);
  return r;
}

HWY_INLINE void Store16(const F16& v, float* to) {
  for (int i = 0; i < kParts; ++i) hn::StoreU(v.part[i], DF(), to + i * kLanes);
}

HWY_INLINE void Store16Partial(const F16& v, float* to, int count) {
  alignas(64) float padded[16];
  Store16(v, padded);
  std::memcpy(to, padded, static_cast<size_t>(count) * sizeof(float));
}

HWY_INLINE VF WidenBF16(hn::Vec<hn::Rebind<uint16_t, DF>> v) {
  return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(DU(), v)));
}

// --- kLanes elements of a stored dtype as f32, exactly

HWY_INLINE VF LoadLanes(const float* from) { return hn::LoadU(DF(), from); }

HWY_INLINE VF LoadLanes(const uint16_t* from) {
  const hn::Rebind<uint16_t, DF> dh;
  return WidenBF16(hn::LoadU(dh, from));
}

HWY_INLINE VF LoadLanes(const int8_t* from) {
  const hn::Rebind<int8_t, DF> dc;
  return hn::ConvertTo(DF(), hn::PromoteTo(DI(), hn::LoadU(dc, from)));
}

// e4m3 codes as 2^-8 times their values, which is what their bits are in f16: shifted into place, sign extended, and
// the second copy of the sign cut out of the exponent.
HWY_INLINE VF LoadLanes(const F8Code* from) {
  const hn::Rebind<int8_t, DF> dc;
  const hn::Rebind<int16_t, DF> dw;
  const hn::Rebind<hwy::float16_t, DF> dh;
  const auto code = hn::PromoteTo(dw, hn::LoadU(dc, reinterpret_cast<const int8_t*>(from)));
  const auto bits = hn::And(hn::ShiftLeft<7>(code), hn::Set(dw, static_cast<int16_t>(0xbfff)));
  return hn::PromoteTo(DF(), hn::BitCast(dh, bits));
}

template <typename T>
HWY_INLINE F16 Load16(const T* from) {
  F16 r;
  for (int i = 0; i < kParts; ++i) r.part[i] = LoadLanes(from + i * kLanes);
  return r;
}


// The first `count` elements, zeros after them.
template <typename T>
HWY_INLINE F16 Load16Partial(const T* from, int count) {
  alignas(64) T padded[16] = {};
  std::memcpy(padded, from, static_cast<size_t>(count) * sizeof(T));
  return Load16(padded);
}

// Round to nearest even; a NaN stays a NaN. Same bits as F32ToBF16.
HWY_INLINE void Store16(const F16& v, uint16_t* to) {
  const DU du;
  const hn::Rebind<uint16_t, DF> dh;
  for (int i = 0; i < kParts; ++i) {
    const auto bits = hn::BitCast(du, v.part[i]);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu))));
    const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40u));
    const auto is_nan = hn::RebindMask(du, hn::IsNaN(v.part[i]));
    const auto result = hn::IfThenElse(is_nan, quiet, rounded);
    hn::StoreU(hn::DemoteTo(dh, hn::BitCast(DI(), result)), dh, to + i * kLanes);
  }
}

HWY_INLINE void Store16Partial(const F16& v, uint16_t* to, int count) {
  alignas(64) uint16_t padded[16];
  Store16(v, padded);
  std::memcpy(to, padded, static_cast<size_t>(count) * sizeof(uint16_t));
}

HWY_INLINE F16 Fma(const F16& a, const F16& b, const F16& c) {
  F16 r;
  for (int i = 0; i < kParts; ++i) r.part[i] = Fma(a.part[i], b.part[i], c.part[i]);
  return r;
}

HWY_INLINE F16 Add(const F16& a, const F16& b) {
  F16 r;
  for (int i = 0; i < kParts; ++i) r.part[i] = hn::Add(a.part[i], b.part[i]);
  return r;
}

HWY_INLINE F16 Sub(const F16& a, const F16& b) {
  F16 r;
  for (int i = 0; i < kParts; ++i) r.part[i] = hn::Sub(a.part[i], b.part[i]);
  return r;
}

HWY_INLINE F16 Mul(const F16& a, const F16& b) {
  F16 r;
  for (int i = 0; i < kParts; ++i) r.part[i] = hn::Mul(a.part[i], b.part[i]);
  return r;
}

HWY_INLINE F16 Div(const F16& a, const F16& b) {
  F16 r;
  for (int i = 0; i < kParts; ++i) r.part[i] = hn::Div(a.part[i], b.part[i]);
  return r;
}

// The fixed tree: lanes i and i + 8, then i + 4, i + 2, i + 1.
HWY_INLINE float Sum16(const F16& v) {
  alignas(64) float lane[16];
  Store16(v, lane);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      lane[i] += lane[i + half];
    }
  }
  return lane[0];
}

// Ignores NaN lanes; -infinity when there is nothing else.
HWY_INLINE float Max16(const F16& v) {
  alignas(64) float lane[16];
  Store16(v, lane);
  float max = -HUGE_VALF;
  for (int i = 0; i < 16; ++i) {
    max = lane[i] > max ? lane[i] : max;
  }
  return max;
}

// e^x, relative error below 2^-22. Cody-Waite reduction by ln 2 in two parts, then the Taylor polynomial of degree 7
// on [-ln 2 / 2, ln 2 / 2] and a scaling in two steps, which reaches denormals. Our own, because Highway's may differ
// in the last bit between instruction sets and versions.
HWY_INLINE VF Exp(VF x) {
  const DF d;
  const DI di;
  // Lanes whose result is 0 ask for e^0 instead: a denormal on the way costs a hundred times as much, and masked scores and
  // logits, which are -infinity, are many.
  const auto positive = hn::Gt(x, hn::Set(d, -104.0f));
  const VF clamped = hn::Min(hn::IfThenElseZero(positive, x), hn::Set(d, 89.0f));
  const VF n = hn::Round(hn::Mul(clamped, hn::Set(d, 1.44269504088896341f)));
  VF r = Fma(n, hn::Set(d, -0.693359375f), clamped);
  r = Fma(n, hn::Set(d, 2.12194440e-4f), r);
  VF p = hn::Set(d, 1.0f / 5040);
  p = Fma(p, r, hn::Set(d, 1.0f / 720));
  p = Fma(p, r, hn::Set(d, 1.0f / 120));
  p = Fma(p, r, hn::Set(d, 1.0f / 24));
  p = Fma(p, r, hn::Set(d, 1.0f / 6));
  p = Fma(p, r, hn::Set(d, 0.5f));
  p = Fma(p, r, hn::Set(d, 1.0f));
  p = Fma(p, r, hn::Set(d, 1.0f));
  const auto exponent = hn::ConvertTo(di, n);
  const auto low = hn::ShiftRight<1>(exponent);
  const auto high = hn::Sub(exponent, low);
  const auto bias = hn::Set(di, 127);
  p = hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(low, bias))));
  p = hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(high, bias))));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::IfThenElseZero(positive, p));
}

HWY_INLINE F16 Exp(const F16& x) {
  F16 r;
  for (int i = 0; i < kParts; ++i) r.part[i] = Exp(x.part[i]);
  return r;
}

// 1 / (1 + e^-x)
HWY_INLINE F16 Sigmoid(const F16& x) {
  const F16 one = Splat16(1.0f);
  return Div(one, Add(one, Exp(Sub(Splat16(0.0f), x))));
}

// x / (1 + e^-x)
HWY_INLINE F16 Silu(const F16& x) { return Div(x, Add(Splat16(1.0f), Exp(Sub(Splat16(0.0f), x)))); }

// Sum of squares in sixteen lanes: element i goes to lane i % 16.
HWY_INLINE float SumOfSquares(const float* x, int64_t n) {
  F16 sum = Splat16(0.0f);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const F16 v = Load16(x + i);
    sum = Fma(v, v, sum);
  }
  if (i < n) {
    const F16 v = Load16Partial(x + i, static_cast<int>(n - i));
    sum = Fma(v, v, sum);
  }
  return Sum16(sum);
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#endif  // TANDEM_COMPUTE_CPU_SIMD_INL_H_
