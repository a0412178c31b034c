#include "cli/load/statistics.h"

#include <gtest/gtest.h>

namespace tandem::cli {
namespace {

TEST(StatisticsTest, PercentilesAreLinearBetweenNeighbours) {
  const std::vector<double> values = {10, 20, 30, 40, 50};
  EXPECT_DOUBLE_EQ(Percentile(values, 0), 10);
  EXPECT_DOUBLE_EQ(Percentile(values, 0.5), 30);
  EXPECT_DOUBLE_EQ(Percentile(values, 0.9), 46);
  EXPECT_DOUBLE_EQ(Percentile(values, 1), 50);
  EXPECT_DOUBLE_EQ(Percentile({7}, 0.99), 7);
}

TEST(StatisticsTest, DescribesValuesInAnyOrder) {
  std::vector<double> values;
  for (int i = 101; i >= 1; --i) {
    values.push_back(i);
  }
  const Distribution result = Describe(values);
  EXPECT_EQ(result.count, 101);
  EXPECT_DOUBLE_EQ(result.mean, 51);
  EXPECT_DOUBLE_EQ(result.p50, 51);
  EXPECT_DOUBLE_EQ(result.p90, 91);
  EXPECT_DOUBLE_EQ(result.p99, 100);
  EXPECT_DOUBLE_EQ(result.max, 101);
}

TEST(StatisticsTest, NothingMeasuredIsAllZero) {
  const Distribution result = Describe({});
  EXPECT_EQ(result.count, 0);
  EXPECT_EQ(result.p99, 0);
}

}  // namespace
}  // namespace tandem::cli
