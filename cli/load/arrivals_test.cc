#include "cli/load/arrivals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tandem::cli {
namespace {

TEST(PoissonArrivalsTest, TheSameSeedGivesTheSameTimes) {
  PoissonArrivals one(5, 7), same(5, 7), other(5, 8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const absl::Duration time = one.Next();
    EXPECT_EQ(time, same.Next());
    differs |= time != other.Next();
  }
  EXPECT_TRUE(differs);
}

// Gaps of a Poisson process are exponential: mean and spread are both 1/rate, and they are above t with e^(-rate t).
TEST(PoissonArrivalsTest, GapsAreExponential) {
  constexpr int kCount = 20000;
  constexpr double kRate = 50;
  PoissonArrivals arrivals(kRate, 1);
  double before = 0, sum = 0, squares = 0;
  int above_mean = 0;
  for (int i = 0; i < kCount; ++i) {
    const double time = absl::ToDoubleSeconds(arrivals.Next());
    const double gap = time - before;
    ASSERT_GE(gap, 0);
    before = time;
    sum += gap;
    squares += gap * gap;
    above_mean += gap > 1 / kRate ? 1 : 0;
  }
  const double mean = sum / kCount;
  EXPECT_NEAR(mean * kRate, 1, 0.03);
  EXPECT_NEAR(std::sqrt(squares / kCount - mean * mean) * kRate, 1, 0.05);
  EXPECT_NEAR(static_cast<double>(above_mean) / kCount, std::exp(-1.0), 0.02);
}

TEST(PoissonArrivalsTest, AnInfiniteRateIsABurst) {
  PoissonArrivals arrivals(std::numeric_limits<double>::infinity(), 1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(arrivals.Next(), absl::ZeroDuration());
  }
}

}  // namespace
}  // namespace tandem::cli
