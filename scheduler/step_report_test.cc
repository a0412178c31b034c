#include "scheduler/step_report.h"

#include <gtest/gtest.h>

#include <random>

namespace tandem::scheduler {
namespace {

TimeSpan Span(int begin, int end) {
  return {absl::UnixEpoch() + absl::Seconds(begin), absl::UnixEpoch() + absl::Seconds(end)};
}

TEST(Overlap, CountsEverySecondOnce) {
  EXPECT_EQ(Overlap({}, {Span(0, 5)}), absl::ZeroDuration());
  EXPECT_EQ(Overlap({Span(0, 10)}, {}), absl::ZeroDuration());
  EXPECT_EQ(Overlap({Span(2, 6), Span(8, 9)}, {Span(0, 3), Span(1, 4), Span(5, 12)}), absl::Seconds(4));
}

TEST(Overlap, AgreesWithCountingSeconds) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<TimeSpan> waits;
    for (int at = static_cast<int>(random() % 5); at < 60;) {
      const int length = 1 + static_cast<int>(random() % 6);
      waits.push_back(Span(at, at + length));
      at += length + static_cast<int>(random() % 5);
    }
    std::vector<TimeSpan> others;
    for (size_t i = 0; i < random() % 12; ++i) {
      const int begin = static_cast<int>(random() % 60);
      others.push_back(Span(begin, begin + static_cast<int>(random() % 12)));
    }
    int seconds = 0;
    for (const TimeSpan& wait : waits) {
      for (absl::Time t = wait.begin; t < wait.end; t += absl::Seconds(1)) {
        seconds += std::any_of(others.begin(), others.end(),
                               [t](const TimeSpan& span) { return span.begin <= t && t < span.end; });
      }
    }
    EXPECT_EQ(Overlap(waits, others), absl::Seconds(seconds));
  }
}

}  // namespace
}  // namespace tandem::scheduler
