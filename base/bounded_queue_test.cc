#include "base/bounded_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <thread>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BoundedQueueTest, KeepsOrderAndRefusesWhatDoesNotFit) {
  BoundedQueue<std::unique_ptr<int>> queue(2);
  EXPECT_EQ(queue.TryPush(std::make_unique<int>(1)), PushResult::kOk);
  EXPECT_EQ(queue.TryPush(std::make_unique<int>(2)), PushResult::kOk);
  auto refused = std::make_unique<int>(3);
  EXPECT_EQ(queue.TryPush(std::move(refused)), PushResult::kFull);
  ASSERT_NE(refused, nullptr) << "a refused item stays with its owner";
  EXPECT_EQ(**queue.Pop(), 1);
  EXPECT_EQ(queue.TryPush(std::move(refused)), PushResult::kOk);
  EXPECT_EQ(**queue.Pop(), 2);
  EXPECT_EQ(**queue.Pop(), 3);
  EXPECT_EQ(queue.size(), 0);
}

TEST(BoundedQueueTest, GroupsWaitingItemsWithTheOldest) {
  BoundedQueue<int> queue(10);
  for (int i : {4, 7, 2, 9, 8}) {
    queue.TryPush(std::move(i));
  }
  const auto same_parity = [](int a, int b) { return a % 2 == b % 2; };
  EXPECT_THAT(queue.PopGroup(same_parity), ElementsAre(4, 2, 8));
  EXPECT_THAT(queue.PopGroup(same_parity), ElementsAre(7, 9));
  queue.Close();
  EXPECT_THAT(queue.PopGroup(same_parity), IsEmpty());
}

TEST(BoundedQueueTest, GivesOutWhatItHeldWhenClosed) {
  BoundedQueue<int> queue(10);
  queue.TryPush(1);
  queue.Close();
  EXPECT_EQ(queue.TryPush(2), PushResult::kClosed);
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, CloseWakesAWaitingConsumer) {
  BoundedQueue<int> queue(1);
  std::thread consumer([&] { EXPECT_EQ(queue.Pop(), std::nullopt); });
  queue.Close();
  consumer.join();
}

TEST(BoundedQueueTest, LosesAndDoublesNothingBetweenThreads) {
  constexpr int kItems = 2000;
  BoundedQueue<int> queue(kItems);
  std::vector<int> seen(kItems, 0);
  std::thread consumer([&] {
    while (true) {
      const std::vector<int> group = queue.PopGroup([](int a, int b) { return a % 3 == b % 3; });
      if (group.empty()) {
        return;
      }
      for (const int item : group) {
        ++seen[item];
      }
    }
  });
  std::vector<std::thread> producers;
  for (int p = 0; p < 4; ++p) {
    producers.emplace_back([&, p] {
      for (int i = p; i < kItems; i += 4) {
        EXPECT_EQ(queue.TryPush(int{i}), PushResult::kOk);
      }
    });
  }
  for (std::thread& producer : producers) {
    producer.join();
  }
  queue.Close();
  consumer.join();
  EXPECT_EQ(seen, std::vector<int>(kItems, 1));
}

}  // namespace
}  // namespace tandem
