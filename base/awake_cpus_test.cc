#include "base/awake_cpus.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"
#include "base/cpu_affinity.h"

namespace tandem {
namespace {

bool Becomes(const AwakeCpus& cpus, bool awake) {
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (cpus.awake() != awake && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  return cpus.awake() == awake;
}

TEST(AwakeCpus, SleepUntilTouchedAndAgainAfterwards) {
  AwakeCpus cpus(AvailableCpus(), absl::Milliseconds(5));
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(Becomes(cpus, false)) << "round " << round;
    // A touch lasts for moments only, and on a busy machine may be over before this thread looks.
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (!cpus.awake() && absl::Now() < deadline) {
      cpus.Touch();
    }
    ASSERT_TRUE(cpus.awake() || absl::Now() < deadline) << "round " << round;
  }
}

TEST(AwakeCpus, StayAwakeWhileTouched) {
  AwakeCpus cpus({AvailableCpus()[0]}, absl::Hours(1));
  cpus.Touch();
  ASSERT_TRUE(Becomes(cpus, true));
}

TEST(AwakeCpus, EndWhileAsleepAndWhileAwake) {
  { AwakeCpus asleep(AvailableCpus()); }
  AwakeCpus awake(AvailableCpus(), absl::Hours(1));
  awake.Touch();
}

TEST(AwakeCpus, TouchesFromManyThreads) {
  AwakeCpus cpus(AvailableCpus(), absl::Microseconds(50));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int touch = 0; touch < 1000; ++touch) {
        cpus.Touch();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_TRUE(Becomes(cpus, false));
}

}  // namespace
}  // namespace tandem
