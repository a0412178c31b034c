#include "compute/cpu/quantize.h"

#include <cmath>
#include <limits>

#include "compute/cpu/test_util.h"

namespace tandem::compute::cpu {
namespace {

double Decoded(DType dtype, std::byte code) {
  return dtype == DType::kI8 ? static_cast<int8_t>(code) : double{F8E4M3ToF32(static_cast<uint8_t>(code))};
}

// The distance from v to the nearest code.
double NearestDistance(DType dtype, double v) {
  double best = HUGE_VAL;
  for (int code = 0; code < 256; ++code) {
    const double distance = std::abs(Decoded(dtype, static_cast<std::byte>(code)) - v);
    best = distance < best ? distance : best;  // NaN codes are never nearer
  }
  return best;
}

class QuantizeTest : public testing::TestWithParam<DType> {
 protected:
  double limit() const { return GetParam() == DType::kI8 ? 127 : 448; }
};

// Magnitudes over seven decades, so that every exponent and the subnormal codes occur.
std::vector<float> WideRow(int n) {
  std::vector<float> row = RandomVector(n, 5);
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] *= std::pow(10.0f, -static_cast<float>(i % 8));
  }
  return row;
}

TEST_P(QuantizeTest, EveryElementGetsTheNearestCode) {
  for (const int n : {1, 7, 16, 37, 400}) {
    const std::vector<float> row = WideRow(n);
    std::vector<std::byte> codes(row.size());
    const double scale = QuantizeRow(row.data(), GetParam(), codes.data(), n);
    double largest = 0;
    for (const float x : row) {
      largest = std::max(largest, std::abs(double{x}));
    }
    ASSERT_NEAR(scale, largest / limit(), 1e-7 * scale);
    for (size_t i = 0; i < row.size(); ++i) {
      const double v = row[i] / scale;
      // The rounding of the scaled value itself decides between two codes that are equally far.
      ASSERT_NEAR(std::abs(Decoded(GetParam(), codes[i]) - v), NearestDistance(GetParam(), v), 2e-7 * std::abs(v))
          << "element " << i << " of " << n << ": " << v;
    }
  }
}

TEST_P(QuantizeTest, CodesStandForThemselves) {
  std::vector<float> row;
  for (int code = 0; code < 256; ++code) {
    const double value = Decoded(GetParam(), static_cast<std::byte>(code));
    if (std::abs(value) <= limit()) {
      row.push_back(static_cast<float>(value));
    }
  }
  std::vector<std::byte> codes(row.size());
  EXPECT_EQ(QuantizeRow(row.data(), GetParam(), codes.data(), static_cast<int64_t>(row.size())), 1.0f);
  for (size_t i = 0; i < row.size(); ++i) {
    EXPECT_EQ(Decoded(GetParam(), codes[i]), row[i]);
  }
}

TEST_P(QuantizeTest, RowsWithoutMagnitudeAreZeroAndRowsWithoutNumbersShow) {
  std::vector<std::byte> codes(20, std::byte{1});
  std::vector<float> row(20, 1e-38f);
  EXPECT_EQ(QuantizeRow(row.data(), GetParam(), codes.data(), 20), 1.0f);
  EXPECT_EQ(codes, std::vector<std::byte>(20));
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    row[13] = bad;
    EXPECT_TRUE(std::isnan(QuantizeRow(row.data(), GetParam(), codes.data(), 20)));
  }
  row[13] = std::numeric_limits<float>::max();
  EXPECT_TRUE(std::isfinite(QuantizeRow(row.data(), GetParam(), codes.data(), 20)));
}

TEST_P(QuantizeTest, HasTheSameBitsOnEveryInstructionSet) {
  const std::vector<float> row = WideRow(401);
  ExpectSameBitsEverywhere([&](Backend&) {
    std::vector<std::byte> codes(row.size());
    std::vector<float> all = {QuantizeRow(row.data(), GetParam(), codes.data(), 401)};
    for (const std::byte code : codes) {
      all.push_back(static_cast<float>(code));
    }
    return all;
  });
}

INSTANTIATE_TEST_SUITE_P(DTypes, QuantizeTest, testing::Values(DType::kI8, DType::kF8E4M3));

}  // namespace
}  // namespace tandem::compute::cpu
