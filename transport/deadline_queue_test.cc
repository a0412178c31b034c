#include "transport/deadline_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"

namespace tandem::transport {
namespace {

TEST(DeadlineQueueTest, RunsEntriesInTheOrderOfTheirDeadlines) {
  DeadlineQueue queue;
  std::vector<int> order;  // touched by the queue's thread alone until `done`
  absl::Notification done;
  const absl::Time now = absl::Now();
  queue.Add(now + absl::Milliseconds(20), [&] { done.Notify(); });
  queue.Add(now + absl::Milliseconds(10), [&] { order.push_back(2); });
  queue.Add(now - absl::Seconds(1), [&] { order.push_back(1); });
  queue.Add(now + absl::Milliseconds(10), [&] { order.push_back(3); });
  done.WaitForNotification();
  EXPECT_THAT(order, ::testing::ElementsAre(1, 2, 3));
}

TEST(DeadlineQueueTest, ACancelledEntryDoesNotRun) {
  DeadlineQueue queue;
  const DeadlineQueue::Key key =
      queue.Add(absl::Now() + absl::Hours(1), [] { ADD_FAILURE() << "ran though it was cancelled"; });
  EXPECT_TRUE(queue.Cancel(key));
  EXPECT_FALSE(queue.Cancel(key));
  const DeadlineQueue::Key never = queue.Add(absl::InfiniteFuture(), [] { ADD_FAILURE() << "ran"; });
  EXPECT_FALSE(queue.Cancel(never));
}

TEST(DeadlineQueueTest, AnEntryThatRanCannotBeCancelled) {
  DeadlineQueue queue;
  absl::Notification ran;
  const DeadlineQueue::Key key = queue.Add(absl::InfinitePast(), [&] { ran.Notify(); });
  ran.WaitForNotification();
  EXPECT_FALSE(queue.Cancel(key));
}

TEST(DeadlineQueueTest, FunctionsMayUseTheQueueAndEvenDestroyIt) {
  auto queue = std::make_unique<DeadlineQueue>();
  absl::Notification done;
  queue->Add(absl::InfinitePast(), [&] {
    queue->Add(absl::InfinitePast(), [&] {
      queue = nullptr;
      done.Notify();
    });
  });
  done.WaitForNotification();
  EXPECT_EQ(queue, nullptr);
}

TEST(DeadlineQueueTest, DropsWhatHasNotExpired) {
  auto held = std::make_shared<int>(1);
  auto queue = std::make_unique<DeadlineQueue>();
  queue->Add(absl::Now() + absl::Hours(1), [held] { ADD_FAILURE() << "ran"; });
  EXPECT_EQ(held.use_count(), 2);
  queue = nullptr;
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace tandem::transport
