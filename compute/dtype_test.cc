#include "compute/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace tandem::compute {
namespace {

// Value of a sign-exponent-mantissa pattern, by the definition of the format.
double Decode(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double mantissa = static_cast<double>(bits & ((1u << mantissa_bits) - 1)) / (1 << mantissa_bits);
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, 1 - bias) : std::ldexp(1 + mantissa, exponent - bias);
  return (bits >> (exponent_bits + mantissa_bits) & 1u) != 0 ? -magnitude : magnitude;
}

void ExpectSame(float actual, double expected, uint32_t bits) {
  ASSERT_EQ(static_cast<double>(actual), expected) << bits;
  ASSERT_EQ(std::signbit(actual), std::signbit(expected)) << bits;
}

TEST(DTypeTest, EveryF16Widens) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = F16ToF32(static_cast<uint16_t>(bits));
    if ((bits & 0x7fffu) > 0x7c00u) {
      ASSERT_TRUE(std::isnan(value)) << bits;
    } else if ((bits & 0x7fffu) == 0x7c00u) {
      ASSERT_EQ(value, (bits & 0x8000u) != 0 ? -std::numeric_limits<float>::infinity()
                                             : std::numeric_limits<float>::infinity());
    } else {
      ExpectSame(value, Decode(bits, 5, 10), bits);
    }
  }
}

TEST(DTypeTest, EveryF8E4M3Widens) {
  for (uint32_t bits = 0; bits < 0x100; ++bits) {
    const float value = F8E4M3ToF32(static_cast<uint8_t>(bits));
    if ((bits & 0x7fu) == 0x7fu) {
      ASSERT_TRUE(std::isnan(value)) << bits;
    } else {
      ExpectSame(value, Decode(bits, 4, 3), bits);
    }
  }
}

TEST(DTypeTest, EveryBF16WidensAndRoundsBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = BF16ToF32(static_cast<uint16_t>(bits));
    ASSERT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(BF16ToF32(F32ToBF16(value)))) << bits;
    } else {
      ASSERT_EQ(F32ToBF16(value), bits);
    }
  }
}

TEST(DTypeTest, RoundingIsToNearestEven) {
  for (uint32_t high = 0; high < 0x7f80; ++high) {
    const float below = BF16ToF32(static_cast<uint16_t>(high));
    const auto up = static_cast<uint16_t>(high + 1);
    for (uint32_t low : {1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const float value = std::bit_cast<float>(high << 16 | low);
      const uint16_t expected = low < 0x8000u || (low == 0x8000u && high % 2 == 0) ? static_cast<uint16_t>(high) : up;
      ASSERT_EQ(F32ToBF16(value), expected) << below;
      ASSERT_EQ(F32ToBF16(-value), expected | 0x8000u) << below;
    }
  }
}

TEST(DTypeTest, NaNWithLowBitsOnlyStaysNaN) {
  EXPECT_TRUE(std::isnan(BF16ToF32(F32ToBF16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(BF16ToF32(F32ToBF16(std::bit_cast<float>(0xffffffffu)))));
}

TEST(DTypeTest, NamesAreThoseOfTorch) {
  EXPECT_EQ(DTypeName(DType::kBF16), "bfloat16");
  EXPECT_EQ(DTypeBytes(DType::kBF16), 2u);
  EXPECT_EQ(DTypeBytes(DType::kF8E4M3), 1u);
  EXPECT_EQ(DTypeName(DType::kI8), "int8");
  EXPECT_EQ(DTypeBytes(DType::kI8), 1u);
}

}  // namespace
}  // namespace tandem::compute
