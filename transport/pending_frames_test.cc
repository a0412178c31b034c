// Each frame ends exactly once, whatever ends it.
#include "transport/pending_frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"

namespace tandem::transport {
namespace {

using ::testing::HasSubstr;

// What has become of one frame.
struct Ending {
  absl::Notification ended;
  std::atomic<int> times = 0;
  absl::Status status;  // of the first time

  CombineCallback Callback() {
    return [this](const absl::StatusOr<CombineFrame>& result) {
      if (times++ == 0) {
        status = result.status();
        ended.Notify();
      }
    };
  }
};

class PendingFramesTest : public ::testing::Test {
 protected:
  uint64_t Add(Ending& ending, absl::Time deadline = absl::InfiniteFuture()) {
    DispatchFrame frame;
    frame.layer = 7;
    frame.hidden_size = 4;
    frame.deadline = deadline;
    return pending_->Add(frame, ending.Callback());
  }

  const std::shared_ptr<PendingFrames> pending_ =
      std::make_shared<PendingFrames>("w", /*capacity=*/4, std::make_shared<DeadlineQueue>());
};

TEST_F(PendingFramesTest, AFrameEndsOnceAtItsDeadlineAndLaterOnesLiveOn) {
  Ending soon, later, never;
  const absl::Time now = absl::Now();
  const uint64_t soon_id = Add(soon, now + absl::Milliseconds(20));
  const uint64_t later_id = Add(later, now + absl::Hours(1));
  const uint64_t never_id = Add(never);
  soon.ended.WaitForNotification();
  EXPECT_EQ(soon.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(soon.status.message(), HasSubstr("expert worker w: layer 7"));
  pending_->Complete(soon_id, CombineFrame());
  EXPECT_EQ(soon.times, 1);
  EXPECT_EQ(later.times, 0);
  EXPECT_EQ(never.times, 0);
  pending_->Complete(later_id, CombineFrame());
  pending_->Complete(never_id, CombineFrame());
  EXPECT_EQ(later.status, absl::OkStatus());
  EXPECT_EQ(never.status, absl::OkStatus());
}

TEST_F(PendingFramesTest, DeadlinesAreKeptInWhateverOrderTheyCome) {
  Ending last, first, second;
  const absl::Time now = absl::Now();
  Add(last, now + absl::Hours(1));
  Add(second, now + absl::Milliseconds(40));
  Add(first, now + absl::Milliseconds(20));
  first.ended.WaitForNotification();
  second.ended.WaitForNotification();
  EXPECT_EQ(last.times, 0);
}

TEST_F(PendingFramesTest, DeadlinesAreKeptAfterTheFrameThatSetTheTimerWasAnswered) {
  Ending answered, waiting;
  const absl::Time now = absl::Now();
  pending_->Complete(Add(answered, now + absl::Milliseconds(20)), CombineFrame());
  Add(waiting, now + absl::Milliseconds(40));
  waiting.ended.WaitForNotification();
  EXPECT_EQ(waiting.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(answered.times, 1);
}

TEST_F(PendingFramesTest, FramesThatAreLateAlreadyAreRefused) {
  Ending late;
  EXPECT_EQ(Add(late, absl::Now() - absl::Seconds(1)), 0u);
  EXPECT_EQ(late.status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(PendingFramesTest, AnswersToFramesThatHaveEndedDoNotEndLaterOnes) {
  Ending first, second;
  const uint64_t first_id = Add(first);
  pending_->Complete(first_id, CombineFrame());
  const uint64_t second_id = Add(second);
  EXPECT_NE(first_id, second_id);
  pending_->Complete(first_id, CombineFrame());
  pending_->Complete(0, CombineFrame());
  pending_->Complete(~uint64_t{0}, CombineFrame());
  EXPECT_EQ(first.times, 1);
  EXPECT_EQ(second.times, 0);
  pending_->Complete(second_id, absl::InternalError("broken"));
  EXPECT_EQ(second.status.code(), absl::StatusCode::kInternal);
}

TEST_F(PendingFramesTest, OnlySoManyAtATime) {
  std::vector<Ending> endings(5);
  std::vector<uint64_t> ids;
  for (Ending& ending : endings) {
    ids.push_back(Add(ending));
  }
  EXPECT_EQ(ids[4], 0u);
  EXPECT_EQ(endings[4].status.code(), absl::StatusCode::kResourceExhausted);
  pending_->Complete(ids[2], CombineFrame());
  Ending next;
  EXPECT_NE(Add(next), 0u);
}

TEST_F(PendingFramesTest, ClosingEndsAllFramesAndRefusesOthers) {
  Ending first, second, refused;
  Add(first, absl::Now() + absl::Hours(1));
  Add(second);
  pending_->Close(absl::UnavailableError("gone"));
  pending_->Close(absl::UnavailableError("gone again"));
  EXPECT_EQ(Add(refused), 0u);
  for (const Ending* ending : {&first, &second, &refused}) {
    EXPECT_EQ(ending->times, 1);
    EXPECT_THAT(ending->status.message(), HasSubstr("gone"));
  }
}

TEST_F(PendingFramesTest, EachFrameEndsOnceWhateverComesFirst) {
  std::vector<Ending> endings(400);
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = t; i < endings.size(); i += 2) {
        const uint64_t id = Add(endings[i], absl::Now() + absl::Microseconds(50 * (i % 5)));
        if (i % 3 != 0) {
          pending_->Complete(id, CombineFrame());
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (Ending& ending : endings) {
    ending.ended.WaitForNotification();
    EXPECT_EQ(ending.times, 1);
  }
}

}  // namespace
}  // namespace tandem::transport
