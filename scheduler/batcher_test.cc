#include "scheduler/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace tandem::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kPlenty = 1'000'000;

SequenceView Prompt(int64_t pending) { return {.pending_tokens = pending}; }
SequenceView Decode(int64_t cached, int64_t held) {
  return {.pending_tokens = 1, .cached_tokens = cached, .held_blocks = held, .decoding = true};
}
BatchLimits Limits(int64_t tokens, int64_t blocks = kPlenty) {
  return {.max_batch_tokens = tokens, .block_size = 4, .available_blocks = blocks};
}

TEST(PlanStep, PutsDecodeBeforePrompts) {
  const std::vector<SequenceView> sequences = {Prompt(100), Decode(4, 1), Decode(9, 3)};
  EXPECT_THAT(PlanStep(sequences, Limits(50)).items, ElementsAre(StepItem{1, 1}, StepItem{2, 1}, StepItem{0, 48}));
}

TEST(PlanStep, IsEmptyOnlyWithoutWork) {
  EXPECT_THAT(PlanStep({}, Limits(8)).items, IsEmpty());
  const std::vector<SequenceView> idle = {Prompt(0), Prompt(0)};
  EXPECT_THAT(PlanStep(idle, Limits(8)).items, IsEmpty());
  EXPECT_FALSE(PlanStep(idle, Limits(8)).preempt.has_value());
}

TEST(PlanStep, ALongPromptLeavesHalfToTheOthers) {
  EXPECT_THAT(PlanStep({Prompt(1000), Prompt(3), Prompt(50)}, Limits(64)).items,
              ElementsAre(StepItem{0, 32}, StepItem{1, 3}, StepItem{2, 29}));
  EXPECT_THAT(PlanStep({Prompt(1000), Prompt(3)}, Limits(64)).items, ElementsAre(StepItem{0, 61}, StepItem{1, 3}));
  EXPECT_THAT(PlanStep({Prompt(1000)}, Limits(64)).items, ElementsAre(StepItem{0, 64}));
}

TEST(PlanStep, ADecodeWithoutABlockPreemptsTheLast) {
  const std::vector<SequenceView> sequences = {Decode(8, 2), Decode(5, 2), Decode(6, 2)};
  EXPECT_EQ(PlanStep(sequences, Limits(8, 0)).preempt, 2);
  EXPECT_THAT(PlanStep({sequences.data(), 2}, Limits(8, 2)).items, ElementsAre(StepItem{0, 1}, StepItem{1, 1}));
}

TEST(PlanStep, ACopyNeedsABlockToo) {
  std::vector<SequenceView> sequences = {Decode(5, 2), Decode(5, 2)};
  sequences[0].copies_block = true;
  EXPECT_EQ(PlanStep(sequences, Limits(8, 0)).preempt, 1);
  EXPECT_THAT(PlanStep(sequences, Limits(8, 1)).items, ElementsAre(StepItem{0, 1}, StepItem{1, 1}));
}

TEST(PlanStep, APromptIsCutToTheBlocksThereAre) {
  EXPECT_THAT(PlanStep({Prompt(100)}, Limits(64, 3)).items, ElementsAre(StepItem{0, 12}));
}

TEST(PlanStep, APromptWithoutBlocksWaitsForDecodes) {
  const std::vector<SequenceView> sequences = {Decode(5, 2), Prompt(10)};
  const StepPlan plan = PlanStep(sequences, Limits(8, 0));
  EXPECT_THAT(plan.items, ElementsAre(StepItem{0, 1}));
  EXPECT_FALSE(plan.preempt.has_value());
}

TEST(PlanStep, PromptsThatBlockEachOtherAreResolved) {
  std::vector<SequenceView> sequences = {Prompt(10), Prompt(10)};
  for (SequenceView& sequence : sequences) {
    sequence.cached_tokens = 8;
    sequence.held_blocks = 2;
  }
  EXPECT_EQ(PlanStep(sequences, Limits(8, 0)).preempt, 1);
}

TEST(PlanStep, ABetterPriorityTakesBlocks) {
  std::vector<SequenceView> sequences = {Prompt(10), Decode(5, 2)};
  EXPECT_FALSE(PlanStep(sequences, Limits(8, 0)).preempt.has_value());
  sequences[1].priority = 1;
  EXPECT_EQ(PlanStep(sequences, Limits(8, 0)).preempt, 1);
}

TEST(HasRoom, CountsWhatRunningPromptsStillNeed) {
  EXPECT_TRUE(HasRoom(Prompt(100), {}, Limits(8, 0))) << "the first is always let in";
  EXPECT_TRUE(HasRoom(Prompt(7), {{Decode(5, 2)}}, Limits(8, 3)));
  EXPECT_FALSE(HasRoom(Prompt(8), {{Decode(5, 2)}}, Limits(8, 3)));
  EXPECT_FALSE(HasRoom(Prompt(7), {{Prompt(3)}}, Limits(8, 3)));
  EXPECT_TRUE(HasRoom(Prompt(7), {{Prompt(3)}}, Limits(8, 4)));
}

// Property: the plan fits budget and blocks, takes each sequence at most once, never preempts the first, and following
// preemption always ends in progress.
TEST(PlanStep, AlwaysFitsAndAlwaysGetsOn) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::vector<SequenceView> sequences(1 + random() % 20);
    for (SequenceView& sequence : sequences) {
      sequence.decoding = random() % 2 == 0;
      sequence.cached_tokens = static_cast<int64_t>(random() % 40);
      sequence.pending_tokens = sequence.decoding ? 1 : 1 + static_cast<int64_t>(random() % 60);
      sequence.held_blocks = (sequence.cached_tokens + 3) / 4;
      sequence.copies_block = sequence.cached_tokens % 4 != 0 && random() % 4 == 0;
      sequence.priority = static_cast<int32_t>(random() % 3);
    }
    std::stable_sort(sequences.begin(), sequences.end(),
                     [](const auto& a, const auto& b) { return a.priority < b.priority; });
    BatchLimits limits = Limits(1 + static_cast<int64_t>(random() % 60), static_cast<int64_t>(random() % 8));
    StepPlan plan = PlanStep(sequences, limits);
    while (plan.preempt.has_value()) {
      ASSERT_TRUE(plan.items.empty());
      ASSERT_EQ(*plan.preempt, static_cast<int32_t>(sequences.size()) - 1);
      ASSERT_GT(*plan.preempt, 0);
      limits.available_blocks += sequences.back().held_blocks;
      sequences.pop_back();
      plan = PlanStep(sequences, limits);
    }
    if (sequences.size() > 1 || limits.available_blocks > 1) {
      ASSERT_FALSE(plan.items.empty()) << "round " << round;
    }
    int64_t tokens = 0;
    int64_t blocks = 0;
    std::set<int32_t> seen;
    for (const StepItem& item : plan.items) {
      const SequenceView& sequence = sequences[item.sequence];
      EXPECT_TRUE(seen.insert(item.sequence).second);
      EXPECT_GT(item.num_tokens, 0);
      EXPECT_LE(item.num_tokens, sequence.pending_tokens);
      tokens += item.num_tokens;
      blocks += (sequence.cached_tokens + item.num_tokens + 3) / 4 - sequence.held_blocks + sequence.copies_block;
    }
    EXPECT_LE(tokens, limits.max_batch_tokens);
    EXPECT_LE(blocks, limits.available_blocks);
  }
}

}  // namespace
}  // namespace tandem::scheduler
