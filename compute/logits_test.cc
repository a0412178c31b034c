#include "compute/logits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace tandem::compute {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> RandomRow(size_t n, std::mt19937& random) {
  std::vector<float> row(n);
  for (float& x : row) {
    x = std::normal_distribution<float>(0, 4)(random);
  }
  return row;
}

TEST(ArgMax, TakesTheFirstOfTheLargest) {
  EXPECT_EQ(ArgMax({1.0f, 3.0f, 3.0f, 2.0f}), 1);
  EXPECT_EQ(ArgMax({kNan, -kInfinity, -5.0f}), 2);
  EXPECT_EQ(ArgMax({-kInfinity, kNan}), 0);
  std::mt19937 random(1);
  for (const size_t n : {1, 15, 16, 17, 255, 256, 257, 1000}) {
    std::vector<float> row = RandomRow(n, random);
    EXPECT_EQ(ArgMax(row), std::max_element(row.begin(), row.end()) - row.begin()) << n;
    row[n / 2] = 100;
    row[n - 1] = 100;
    EXPECT_EQ(ArgMax(row), static_cast<int32_t>(n / 2)) << n;
  }
}

TEST(LogSumExp, AgreesWithDoubles) {
  std::mt19937 random(2);
  for (const size_t n : {1, 7, 16, 300, 5000}) {
    const std::vector<float> row = RandomRow(n, random);
    double sum = 0;
    for (const float x : row) {
      sum += std::exp(static_cast<double>(x));
    }
    EXPECT_NEAR(LogSumExp(row), std::log(sum), 2e-6) << n;
  }
  EXPECT_EQ(LogSumExp({-kInfinity, kNan}), -kInfinity);
}

TEST(Weights, FollowTheLogits) {
  std::mt19937 random(3);
  Weights weights;
  for (const size_t n : {3, 16, 257, 1000, 40}) {
    std::vector<float> row = RandomRow(n, random);
    row[0] = -kInfinity;
    row[1] = kNan;
    const float max = row[ArgMax(row)];
    weights.Assign(row, max, 0.5f);
    ASSERT_EQ(weights.values().size(), n);
    EXPECT_EQ(weights.values()[0], 0);
    EXPECT_EQ(weights.values()[1], 0);
    double total = 0;
    for (size_t i = 2; i < n; ++i) {
      const double want = std::exp(0.5 * (static_cast<double>(row[i]) - max));
      EXPECT_NEAR(weights.values()[i], want, 1e-6 * want + 1e-40);
      total += want;
    }
    EXPECT_NEAR(weights.total(), total, 1e-5 * total);
  }
}

TEST(Weights, DrawSplitsTheUnitIntervalInOrder) {
  Weights weights;
  weights.Assign({0.0f, -kInfinity, 0.0f, 0.0f, -kInfinity}, 0, 1);
  EXPECT_EQ(weights.Draw(0), 0);
  EXPECT_EQ(weights.Draw(0.3), 0);
  EXPECT_EQ(weights.Draw(0.34), 2);
  EXPECT_EQ(weights.Draw(0.67), 3);
  EXPECT_EQ(weights.Draw(std::nextafter(1.0, 0.0)), 3);
}

// Property: at every point the cumulated weight before the drawn index is at most the point, and no zero is drawn.
TEST(Weights, DrawAgreesWithThePrefixSums) {
  std::mt19937 random(4);
  Weights weights;
  for (int round = 0; round < 300; ++round) {
    std::vector<float> row = RandomRow(1 + random() % 2000, random);
    for (float& x : row) {
      x = random() % 3 == 0 ? -kInfinity : x;
    }
    row.back() = 0;
    weights.Assign(row, row[ArgMax(row)], 1);
    const double uniform = std::uniform_real_distribution<double>(0, 1)(random);
    const int32_t drawn = weights.Draw(uniform);
    EXPECT_GT(weights.values()[drawn], 0);
    double before = 0;
    for (int32_t i = 0; i < drawn; ++i) {
      before += weights.values()[i];
    }
    EXPECT_LE(before, uniform * weights.total() + 1e-4 * weights.total());
    EXPECT_GE(before + weights.values()[drawn], uniform * weights.total() - 1e-4 * weights.total());
  }
}

}  // namespace
}  // namespace tandem::compute
