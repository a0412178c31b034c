#include "base/cpu_affinity.h"

#include <gmock/gmock.h>

#include <thread>

namespace tandem {
namespace {

TEST(ScopedCpuAffinityTest, BindsTheThreadAndThoseItCreates) {
  const std::vector<int> all = AvailableCpus();
  {
    const ScopedCpuAffinity affinity({all.back()});
    EXPECT_THAT(AvailableCpus(), testing::ElementsAre(all.back()));
    std::thread([&] { EXPECT_THAT(AvailableCpus(), testing::ElementsAre(all.back())); }).join();
  }
  EXPECT_EQ(AvailableCpus(), all);
}

TEST(ScopedCpuAffinityTest, AnInnerOneMayLeaveTheOuterOne) {
  const std::vector<int> all = AvailableCpus();
  if (all.size() < 2) {
    GTEST_SKIP() << "needs two CPUs";
  }
  const ScopedCpuAffinity outer({all[0]});
  {
    const ScopedCpuAffinity inner({all[1]});
    EXPECT_THAT(AvailableCpus(), testing::ElementsAre(all[1]));
  }
  EXPECT_THAT(AvailableCpus(), testing::ElementsAre(all[0]));
}

TEST(ScopedCpuAffinityTest, CpusThatDoNotExistChangeNothing) {
  const std::vector<int> all = AvailableCpus();
  const ScopedCpuAffinity none({});
  const ScopedCpuAffinity missing({CPU_SETSIZE - 1, -1});
  EXPECT_EQ(AvailableCpus(), all);
}

}  // namespace
}  // namespace tandem
