#include "compute/cpu/quantize.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/status.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compute/cpu/quantize.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "compute/cpu/simd_inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::compute::cpu {
namespace HWY_NAMESPACE {

HWY_INLINE void StoreCodes(VF v, int8_t* to) {
  const hn::Rebind<int8_t, DF> dc;
  hn::StoreU(hn::DemoteTo(dc, hn::NearestInt(v)), dc, to);
}

// |v| ≤ 448. Normal codes round the mantissa to three bits; subnormal ones, multiples of 2^-9, are rounded by an
// addition that leaves nothing below 2^-9 in the sum.
HWY_INLINE void StoreCodes(VF v, uint8_t* to) {
  const DF d;
  const DU du;
  const hn::Rebind<uint8_t, DF> dc;
  const auto bits = hn::BitCast(du, v);
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7fffffffu));
  const auto odd = hn::And(hn::ShiftRight<20>(magnitude), hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<20>(hn::Add(magnitude, hn::Add(odd, hn::Set(du, 0x7ffffu))));
  const auto normal = hn::Sub(rounded, hn::Set(du, (127u - 7u) << 3));
  const VF shifter = hn::Set(d, 16384.0f);
  const auto subnormal = hn::Sub(hn::BitCast(du, hn::Add(hn::Abs(v), shifter)), hn::BitCast(du, shifter));
  const auto code = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x3c800000u)), subnormal, normal);
  const auto sign = hn::And(hn::ShiftRight<24>(bits), hn::Set(du, 0x80u));
  hn::StoreU(hn::DemoteTo(dc, hn::BitCast(DI(), hn::Or(code, sign))), dc, to);
}

template <typename Code>
void EncodeRow(const float* x, float factor, Code* codes, int64_t n) {
  const VF scale = hn::Set(DF(), factor);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) StoreCodes(hn::Mul(hn::LoadU(DF(), x + i), scale), codes + i);
  if (i < n) {
    alignas(64) float padded[16] = {};
    alignas(64) Code out[16];
    std::copy(x + i, x + n, padded);
    StoreCodes(hn::Mul(hn::LoadU(DF(), padded), scale), out);
    std::copy_n(out, n - i, codes + i);
  }
}

void EncodeI8(const float* x, float factor, int8_t* codes, int64_t n) { EncodeRow(x, factor, codes, n); }
void EncodeF8(const float* x, float factor, uint8_t* codes, int64_t n) { EncodeRow(x, factor, codes, n); }

}  // namespace HWY_NAMESPACE
}  // namespace tandem::compute::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::compute::cpu {
namespace {

HWY_EXPORT(EncodeI8);
HWY_EXPORT(EncodeF8);

constexpr float kTiny = 1e-30f;

// Compared as integers, where a NaN is larger than any number.
float LargestMagnitude(const float* x, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  }
  return std::bit_cast<float>(largest);
}

}  // namespace

float QuantizeRow(const float* x, DType dtype, std::byte* codes, int64_t n) {
  TANDEM_CHECK(dtype == DType::kI8 || dtype == DType::kF8E4M3, "codes of ", DTypeName(dtype));
  const float limit = dtype == DType::kI8 ? 127.0f : 448.0f;
  const float largest = LargestMagnitude(x, n);
  if (!(largest >= kTiny && largest <= std::numeric_limits<float>::max())) {
    std::fill_n(codes, n, std::byte{0});
    return largest < kTiny ? 1.0f : std::numeric_limits<float>::quiet_NaN();
  }
  if (dtype == DType::kI8) {
    HWY_DYNAMIC_DISPATCH(EncodeI8)(x, limit / largest, reinterpret_cast<int8_t*>(codes), n);
  } else {
    HWY_DYNAMIC_DISPATCH(EncodeF8)(x, limit / largest, reinterpret_cast<uint8_t*>(codes), n);
  }
  return largest / limit;
}

void EncodeF8WireRow(const float* x, std::byte* row, int64_t n) {
  const float scale = QuantizeRow(x, DType::kF8E4M3, row, n);
  std::memcpy(row + n, &scale, sizeof(scale));
}

}  // namespace tandem::compute::cpu
#endif  // HWY_ONCE
