#include "scheduler/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace tandem::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(PlanStep, PutsDecodeBeforePrompts) {
  const std::vector<SequenceView> sequences = {{100, false}, {1, true}, {1, true}};
  EXPECT_THAT(PlanStep(sequences, {.max_batch_tokens = 50}),
              ElementsAre(StepItem{1, 1}, StepItem{2, 1}, StepItem{0, 48}));
}

TEST(PlanStep, IsEmptyOnlyWithoutWork) {
  EXPECT_THAT(PlanStep({}, {.max_batch_tokens = 8}), IsEmpty());
  const std::vector<SequenceView> waiting = {{0, true}, {0, false}};
  EXPECT_THAT(PlanStep(waiting, {.max_batch_tokens = 8}), IsEmpty());
}

TEST(PlanStep, CutsThePromptThatDoesNotFit) {
  const std::vector<SequenceView> sequences = {{5, false}, {9, false}, {3, false}};
  EXPECT_THAT(PlanStep(sequences, {.max_batch_tokens = 8}), ElementsAre(StepItem{0, 5}, StepItem{1, 3}));
}

// Property: within the budget, each sequence at most once and never beyond its pending tokens, and the budget is spent
// whenever there is enough work.
TEST(PlanStep, SpendsTheBudgetAndNoMore) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    std::vector<SequenceView> sequences(random() % 40);
    int64_t pending = 0;
    for (SequenceView& sequence : sequences) {
      sequence.decoding = random() % 2 == 0;
      sequence.pending_tokens = sequence.decoding ? 1 : random() % 300;
      pending += sequence.pending_tokens;
    }
    const BatchLimits limits{.max_batch_tokens = 1 + static_cast<int64_t>(random() % 400)};
    int64_t planned = 0;
    std::set<int32_t> seen;
    for (const StepItem& item : PlanStep(sequences, limits)) {
      EXPECT_TRUE(seen.insert(item.sequence).second);
      EXPECT_GT(item.num_tokens, 0);
      EXPECT_LE(item.num_tokens, sequences[item.sequence].pending_tokens);
      planned += item.num_tokens;
    }
    EXPECT_EQ(planned, std::min(pending, limits.max_batch_tokens)) << "round " << round;
  }
}

}  // namespace
}  // namespace tandem::scheduler
