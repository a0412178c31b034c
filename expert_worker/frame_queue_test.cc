#include "expert_worker/frame_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace tandem::expert_worker {
namespace {

using ::testing::ElementsAre;
using transport::FrameOrigin;

using Origin = std::shared_ptr<FrameOrigin>;

// A frame that is told from others by its placement epoch.
WaitingFrame Frame(const Origin& router, int layer, int pairs, uint64_t number) {
  WaitingFrame waiting;
  waiting.frame.origin = router;
  waiting.frame.layer = layer;
  waiting.frame.placement_epoch = number;
  waiting.frame.pairs.resize(static_cast<size_t>(pairs));
  return waiting;
}

std::vector<uint64_t> NumbersOf(const std::vector<WaitingFrame>& batch) {
  std::vector<uint64_t> numbers;
  for (const WaitingFrame& waiting : batch) numbers.push_back(waiting.frame.placement_epoch);
  return numbers;
}

std::vector<Origin> Routers(int count) {
  std::vector<Origin> routers;
  for (int i = 0; i < count; ++i) routers.push_back(std::make_shared<FrameOrigin>());
  return routers;
}

TEST(FrameQueueTest, FramesOfOneLayerGoTogetherWhoeverSentThem) {
  FrameQueue queue(100, 1000);
  const std::vector<Origin> routers = Routers(2);
  for (uint64_t i = 0; i < 8; ++i) {
    ASSERT_EQ(queue.TryPush(Frame(routers[i % 2], static_cast<int>(i / 2 % 2), 1, i)), PushResult::kOk);
  }
  EXPECT_EQ(queue.size(), 8u);
  EXPECT_THAT(NumbersOf(queue.TryPopBatch()), ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(NumbersOf(queue.TryPopBatch()), ElementsAre(3, 2, 7, 6)) << "it is the other router's turn";
  EXPECT_TRUE(queue.TryPopBatch().empty());
  EXPECT_EQ(queue.size(), 0u);
}

TEST(FrameQueueTest, ABatchIsBoundedAndSharedByTurns) {
  FrameQueue queue(100, 10);
  const std::vector<Origin> routers = Routers(2);
  for (uint64_t i = 0; i < 6; ++i) queue.TryPush(Frame(routers[0], 0, 4, i));
  queue.TryPush(Frame(routers[1], 0, 4, 6));
  EXPECT_THAT(NumbersOf(queue.TryPopBatch()), ElementsAre(0, 6)) << "a third frame would be 12 pairs";
  queue.TryPush(Frame(routers[1], 0, 50, 7));
  EXPECT_THAT(NumbersOf(queue.TryPopBatch()), ElementsAre(1, 2)) << "the next one does not fit";
  EXPECT_THAT(NumbersOf(queue.TryPopBatch()), ElementsAre(7)) << "one frame always goes";
  EXPECT_THAT(NumbersOf(queue.TryPopBatch()), ElementsAre(3, 4));
}

TEST(FrameQueueTest, EachRouterHasItsOwnRoom) {
  FrameQueue queue(2, 1000);
  const std::vector<Origin> routers = Routers(2);
  EXPECT_EQ(queue.TryPush(Frame(routers[0], 0, 1, 0)), PushResult::kOk);
  EXPECT_EQ(queue.TryPush(Frame(routers[0], 0, 1, 1)), PushResult::kOk);
  EXPECT_EQ(queue.TryPush(Frame(routers[0], 0, 1, 2)), PushResult::kFull);
  EXPECT_EQ(queue.TryPush(Frame(routers[1], 0, 1, 3)), PushResult::kOk);
  EXPECT_EQ(queue.TryPush(Frame(nullptr, 0, 1, 4)), PushResult::kOk);
  queue.Close();
  EXPECT_EQ(queue.TryPush(Frame(routers[1], 0, 1, 5)), PushResult::kClosed);
  EXPECT_EQ(queue.TryPopBatch().size(), 4u) << "what waits is still there";
}

// Routers that flood the worker, on one layer and on many, and one that sends a frame now and then.
TEST(FrameQueueTest, AFloodDelaysOthersByABoundedNumberOfBatches) {
  for (const int flooding : {1, 2, 5}) {
    for (const int layers : {1, 3}) {
      FrameQueue queue(64, 100);
      const std::vector<Origin> routers = Routers(flooding + 1);
      const Origin& quiet = routers.back();
      std::mt19937 random(static_cast<uint32_t>(flooding * 10 + layers));
      int waited = -1;  // batches since the quiet router's frame came; -1: it has none
      int served = 0;
      for (int batch = 0; batch < 2000; ++batch) {
        for (int r = 0; r < flooding; ++r) {
          while (queue.TryPush(Frame(routers[r], static_cast<int>(random() % layers), 40, 0)) == PushResult::kOk) {
          }
        }
        if (waited < 0 && random() % 3 == 0) {
          ASSERT_EQ(queue.TryPush(Frame(quiet, 7, 40, 1)), PushResult::kOk);
          waited = 0;
        }
        const std::vector<uint64_t> numbers = NumbersOf(queue.TryPopBatch());
        ASSERT_FALSE(numbers.empty());
        if (waited >= 0) ++waited;
        if (numbers[0] == 1) {
          ASSERT_LE(waited, flooding + 1) << "batches, with " << flooding << " others";
          waited = -1;
          ++served;
        }
      }
      EXPECT_GT(served, 100);
    }
  }
}

// Whatever comes in whatever order: every frame comes out once, with frames of its layer alone, within the limit, and
// in the order in which its router sent those of the layer.
TEST(FrameQueueTest, RandomTrafficKeepsItsOrder) {
  std::mt19937 random(3);
  const std::vector<Origin> routers = Routers(4);
  FrameQueue queue(50, 60);
  std::map<std::pair<const FrameOrigin*, int>, uint64_t> last;
  uint64_t pushed = 0;
  uint64_t popped = 0;
  while (popped < 5000) {
    for (uint32_t n = random() % 6; n > 0 && pushed < 5000; --n) {
      WaitingFrame frame =
          Frame(routers[random() % 4], static_cast<int>(random() % 3), static_cast<int>(random() % 30), pushed + 1);
      pushed += queue.TryPush(std::move(frame)) == PushResult::kOk;
    }
    size_t pairs = 0;
    const std::vector<WaitingFrame> batch = queue.TryPopBatch();
    for (const WaitingFrame& waiting : batch) {
      EXPECT_EQ(waiting.frame.layer, batch[0].frame.layer);
      pairs += waiting.frame.pairs.size();
      uint64_t& before = last[{waiting.frame.origin.get(), waiting.frame.layer}];
      EXPECT_GT(waiting.frame.placement_epoch, before);
      before = waiting.frame.placement_epoch;
    }
    EXPECT_TRUE(pairs <= 60 || batch.size() == 1) << pairs;
    popped += batch.size();
    EXPECT_EQ(queue.size(), pushed - popped);
  }
  EXPECT_TRUE(queue.TryPopBatch().empty());
}

}  // namespace
}  // namespace tandem::expert_worker
