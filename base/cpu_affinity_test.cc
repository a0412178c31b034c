#include "base/cpu_affinity.h"

#include <gmock/gmock.h>

#include <thread>

namespace tandem {
namespace {

TEST(ParseCpuList, ReadsCpusAndRanges) {
  EXPECT_THAT(ParseCpuList("0-2,5").value(), testing::ElementsAre(0, 1, 2, 5));
  EXPECT_THAT(ParseCpuList("7").value(), testing::ElementsAre(7));
  for (const char* wrong : {"", "a", "1-", "-1", "3-1", "0,,1", "0-99999", "1-2-3"}) {
    EXPECT_EQ(ParseCpuList(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(RestrictToCpus, HoldsForThreadsStartedAfterwards) {
  const int last = AvailableCpus().back();
  std::thread([last] {  // on a thread of its own: the test's may use all CPUs again
    ASSERT_TRUE(RestrictToCpus({last}).ok());
    std::thread([last] { EXPECT_THAT(AvailableCpus(), testing::ElementsAre(last)); }).join();
  })
      .join();
  EXPECT_FALSE(RestrictToCpus({CPU_SETSIZE - 1}).ok());
}

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
