#include "compute/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace tandem::compute::cpu {
namespace {

TEST(ThreadPoolTest, RunsEachIndexOnce) {
  for (int threads : {1, 2, 4}) {
    ThreadPool pool({threads, {}, 20});
    EXPECT_EQ(pool.num_threads(), threads);
    for (int64_t n : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<std::atomic<int>> count(static_cast<size_t>(n));
      pool.Run(n, [&](int64_t i) { count[static_cast<size_t>(i)].fetch_add(1); });
      for (const auto& c : count) {
        ASSERT_EQ(c.load(), 1);
      }
    }
  }
}

TEST(ThreadPoolTest, ManyShortLoopsWithAndWithoutSpinning) {
  for (int spin : {0, 5, 100}) {
    ThreadPool pool({3, {}, spin});
    int64_t expected = 0;
    std::atomic<int64_t> sum = 0;
    for (int64_t loop = 0; loop < 3000; ++loop) {
      const int64_t n = loop % 9;
      pool.Run(n, [&](int64_t i) { sum.fetch_add(i + loop, std::memory_order_relaxed); });
      expected += n * (n - 1) / 2 + n * loop;
      ASSERT_EQ(sum.load(), expected);
    }
  }
}

TEST(ThreadPoolTest, WritesOfTheLoopAreVisibleToTheCaller) {
  ThreadPool pool({4, {}, 20});
  std::vector<int64_t> values(257);
  for (int64_t round = 1; round < 200; ++round) {
    pool.Run(257, [&](int64_t i) { values[static_cast<size_t>(i)] += i * round; });
  }
  for (int64_t i = 0; i < 257; ++i) {
    ASSERT_EQ(values[static_cast<size_t>(i)], i * 199 * 100);
  }
}

TEST(ThreadPoolTest, CallersFromSeveralThreadsTakeTurns) {
  ThreadPool pool({2, {}, 5});
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto add = [&](int64_t k) { sum.fetch_add(k); };
        if (i % 2 == 0 || !pool.TryRun(10, add)) {
          pool.Run(10, add);
        }
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(sum.load(), 3 * 200 * 45);
}

TEST(ThreadPoolTest, TryRunRefusesWhileBusy) {
  ThreadPool pool({2, {}, 5});
  bool refused = false;
  pool.Run(2, [&](int64_t i) {
    if (i == 0) {
      std::thread other([&] { refused = !pool.TryRun(1, [](int64_t) {}); });
      other.join();
    }
  });
  EXPECT_TRUE(refused);
}

TEST(ThreadPoolTest, AffinityToCpusThatDoNotExistIsIgnored) {
  ThreadPool pool({3, {0, -1, 100000}, 5});
  std::atomic<int> count = 0;
  pool.Run(50, [&](int64_t) { count.fetch_add(1); });
  EXPECT_EQ(count.load(), 50);
}

}  // namespace
}  // namespace tandem::compute::cpu
