#include "scheduler/fair_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace tandem::scheduler {
namespace {

uint64_t Pop(FairQueue& queue) {
  const auto front = queue.Front();
  EXPECT_TRUE(front.has_value());
  queue.Remove(front->id);
  return front->id;
}

TEST(FairQueue, ServesOneUserInOrder) {
  FairQueue queue;
  for (uint64_t id = 1; id <= 3; ++id) {
    queue.Push(id, 0, "a");
  }
  EXPECT_EQ(Pop(queue), 1u);
  EXPECT_EQ(Pop(queue), 2u);
  EXPECT_EQ(Pop(queue), 3u);
  EXPECT_FALSE(queue.Front().has_value());
}

TEST(FairQueue, BetterPriorityFirst) {
  FairQueue queue;
  queue.Push(1, 5, "a");
  queue.Push(2, -1, "b");
  queue.Push(3, 0, "c");
  EXPECT_EQ(Pop(queue), 2u);
  EXPECT_EQ(Pop(queue), 3u);
  EXPECT_EQ(Pop(queue), 1u);
}

TEST(FairQueue, AManyRequestUserDoesNotStarveAnother) {
  FairQueue queue;
  for (uint64_t id = 1; id <= 100; ++id) {
    queue.Push(id, 0, "many");
  }
  queue.Push(101, 0, "one");
  EXPECT_EQ(Pop(queue), 1u);
  queue.Charge("many", 10);
  EXPECT_EQ(Pop(queue), 101u);
}

TEST(FairQueue, StayingAwaySavesNoCredit) {
  FairQueue queue;
  queue.Push(1, 0, "busy");
  queue.Charge("busy", 1000);
  queue.Push(2, 0, "late");  // starts where "busy" is
  EXPECT_EQ(Pop(queue), 1u);
  queue.Push(3, 0, "busy");
  EXPECT_EQ(Pop(queue), 2u);
}

TEST(FairQueue, AnEmptyQueueForgivesNothing) {
  FairQueue queue;
  queue.Push(1, 0, "busy");
  queue.Charge("busy", 1000);
  Pop(queue);
  queue.Push(2, 0, "late");
  queue.Push(3, 0, "busy");
  EXPECT_EQ(Pop(queue), 2u);
  queue.Charge("late", 10);
  queue.Push(4, 0, "late");
  EXPECT_EQ(Pop(queue), 3u) << "\"late\" began at the level of \"busy\"";
}

TEST(FairQueue, RemovesFromTheMiddle) {
  FairQueue queue;
  queue.Push(1, 0, "a");
  queue.Push(2, 0, "a");
  queue.Push(3, 0, "a");
  queue.Remove(2);
  queue.Remove(77);
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(Pop(queue), 1u);
  EXPECT_EQ(Pop(queue), 3u);
}

// Property: users who always want more get equal parts of the service, whatever the sizes of their requests.
TEST(FairQueue, SharesEvenlyInTheLongRun) {
  std::mt19937 random(1);
  FairQueue queue;
  std::map<uint64_t, std::string> owner;
  std::map<std::string, int64_t> served;
  uint64_t next = 1;
  const auto push = [&](const std::string& user) {
    owner[next] = user;
    queue.Push(next++, 0, user);
  };
  for (const char* user : {"a", "b", "c"}) {
    push(user);
    push(user);
  }
  for (int i = 0; i < 3000; ++i) {
    const std::string user = owner[Pop(queue)];
    const int64_t tokens = user == "a" ? 100 : static_cast<int64_t>(1 + random() % 20);
    queue.Charge(user, tokens);
    served[user] += tokens;
    push(user);
  }
  EXPECT_LE(std::abs(served["a"] - served["b"]), 200);
  EXPECT_LE(std::abs(served["b"] - served["c"]), 200);
}

TEST(FairQueue, ForgetsIdleUsers) {
  FairQueue queue;
  for (uint64_t id = 1; id <= 20000; ++id) {
    queue.Push(id, 0, "user " + std::to_string(id));
    Pop(queue);
  }
  queue.Push(30000, 0, "x");
  EXPECT_EQ(Pop(queue), 30000u);
}

}  // namespace
}  // namespace tandem::scheduler
