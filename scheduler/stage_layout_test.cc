#include "scheduler/stage_layout.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tandem::scheduler {
namespace {

// Property: along each direction every layer is computed once, in order; stages differ by at most one layer; what a
// stage holds is what it computes.
TEST(StageLayout, CoversTheModelInEveryDirection) {
  for (int layers = 1; layers <= 30; ++layers) {
    for (int stages = 1; stages <= layers && stages <= 9; ++stages) {
      for (const StagePolicy policy : {StagePolicy::kOneWay, StagePolicy::kDualPipe}) {
        const StageLayout layout = {.num_stages = stages, .num_layers = layers, .policy = policy};
        for (int direction = 0; direction < layout.num_directions(); ++direction) {
          const int step = direction == 0 ? 1 : -1;
          int next = 0;
          for (int stage = layout.FirstStage(direction); stage >= 0 && stage < stages; stage += step) {
            const LayerRange range = layout.LayersOf(stage, direction);
            EXPECT_EQ(range.begin, next);
            EXPECT_GE(range.size(), layers / stages);
            EXPECT_LE(range.size(), (layers + stages - 1) / stages);
            next = range.end;
          }
          EXPECT_EQ(next, layers);
        }
        for (int stage = 0; stage < stages; ++stage) {
          const std::vector<LayerRange> held = layout.RangesOf(stage);
          EXPECT_LE(held.size(), static_cast<size_t>(layout.num_directions()));
          for (int direction = 0; direction < layout.num_directions(); ++direction) {
            EXPECT_EQ(std::count(held.begin(), held.end(), layout.LayersOf(stage, direction)), 1);
          }
        }
      }
    }
  }
}

TEST(StageLayout, ASingleStageHasOneDirection) {
  const StageLayout layout = {.num_stages = 1, .num_layers = 4, .policy = StagePolicy::kDualPipe};
  EXPECT_EQ(layout.num_directions(), 1);
  EXPECT_EQ(layout.RangesOf(0), (std::vector<LayerRange>{{0, 4}}));
}

TEST(StageLayout, DualPipeHoldsARangeFromEachEnd) {
  const StageLayout layout = {.num_stages = 3, .num_layers = 9, .policy = StagePolicy::kDualPipe};
  EXPECT_EQ(layout.RangesOf(0), (std::vector<LayerRange>{{0, 3}, {6, 9}}));
  EXPECT_EQ(layout.RangesOf(1), (std::vector<LayerRange>{{3, 6}}));
  EXPECT_EQ(layout.RangesOf(2), (std::vector<LayerRange>{{6, 9}, {0, 3}}));
}

}  // namespace
}  // namespace tandem::scheduler
