#include "router/stage_mailbox.h"

#include <gtest/gtest.h>

namespace tandem::router {
namespace {

using transport::FrameBuffer;

TEST(StageMailbox, RowsMayComeBeforeOrAfterTheyAreExpected) {
  StageMailbox mailbox;
  mailbox.Begin(7, 2);
  int arrived = 0;
  mailbox.Deliver(7, 0, FrameBuffer(8));
  mailbox.Expect(7, 0, [&] { ++arrived; });
  EXPECT_EQ(arrived, 1);
  mailbox.Expect(7, 1, [&] { ++arrived; });
  EXPECT_EQ(arrived, 1);
  mailbox.Deliver(7, 1, FrameBuffer(16));
  EXPECT_EQ(arrived, 2);
  EXPECT_EQ(mailbox.Take(7, 0)->size(), 8u);
  EXPECT_EQ(mailbox.Take(7, 1)->size(), 16u);
}

TEST(StageMailbox, RowsOfAnotherStepAreDropped) {
  StageMailbox mailbox;
  mailbox.Begin(7, 1);
  int arrived = 0;
  mailbox.Expect(7, 0, [&] { ++arrived; });
  mailbox.Deliver(6, 0, FrameBuffer(8));
  mailbox.Deliver(8, 0, FrameBuffer(8));
  mailbox.Deliver(7, 1, FrameBuffer(8));
  mailbox.Deliver(7, -1, FrameBuffer(8));
  EXPECT_EQ(arrived, 0);
}

TEST(StageMailbox, ALaterStepEndsTheWait) {
  StageMailbox mailbox;
  mailbox.Begin(7, 1);
  int arrived = 0;
  mailbox.Expect(7, 0, [&] { ++arrived; });
  mailbox.Begin(8, 1);
  EXPECT_EQ(arrived, 1);
  EXPECT_TRUE(absl::IsCancelled(mailbox.Take(7, 0).status()));
  mailbox.Expect(7, 0, [&] { ++arrived; });
  EXPECT_EQ(arrived, 2) << "and nobody waits for the earlier one any more";
}

TEST(StageMailbox, AFailureReachesWhoeverWaitsOnceAndWhoeverComesLater) {
  StageMailbox mailbox;
  mailbox.Begin(7, 3);
  int arrived = 0;
  mailbox.Deliver(7, 2, FrameBuffer(8));
  mailbox.Expect(7, 0, [&] { ++arrived; });
  mailbox.Fail(6, absl::UnavailableError("earlier"));
  EXPECT_TRUE(mailbox.Awaited(7));
  EXPECT_FALSE(mailbox.Awaited(6));
  mailbox.Fail(7, absl::UnavailableError("gone"));
  mailbox.Fail(7, absl::InternalError("again"));
  EXPECT_FALSE(mailbox.Awaited(7));
  mailbox.Expect(7, 1, [&] { ++arrived; });
  EXPECT_EQ(arrived, 2);
  EXPECT_EQ(mailbox.Take(7, 0).status(), absl::UnavailableError("gone"));
  EXPECT_EQ(mailbox.Take(7, 1).status(), absl::UnavailableError("gone"));
  EXPECT_TRUE(mailbox.Take(7, 2).ok()) << "what was there stays";
  mailbox.Begin(8, 1);
  mailbox.Deliver(8, 0, FrameBuffer(8));
  EXPECT_TRUE(mailbox.Take(8, 0).ok()) << "the next step begins anew";
}

}  // namespace
}  // namespace tandem::router
