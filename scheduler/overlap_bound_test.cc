#include "scheduler/overlap_bound.h"

#include <gtest/gtest.h>

#include "scheduler/pipeline_simulator.h"

namespace tandem::scheduler {
namespace {

TEST(OverlapBoundTest, OneMicroBatchHidesNothing) {
  const UniformStep step = {.layers = 10, .micro_batches = 1, .router = 1, .expert = 2, .wire = 3};
  EXPECT_DOUBLE_EQ(step.Seconds(), 90);
  EXPECT_DOUBLE_EQ(step.HideableShare(), 0);
}

TEST(OverlapBoundTest, TwoBalancedMicroBatchesKeepBothSidesBusy) {
  const UniformStep step = {.layers = 10, .micro_batches = 2, .router = 1, .expert = 1};
  EXPECT_DOUBLE_EQ(step.Seconds(), 21);  // the second one ends one visit after the first
}

TEST(OverlapBoundTest, FullPipesHideAllButTheFirstAndLastTrip) {
  const UniformStep step = {.layers = 100, .micro_batches = 4, .router = 1, .expert = 1, .wire = 1};
  EXPECT_DOUBLE_EQ(step.Seconds(), 403);
  EXPECT_NEAR(step.HideableShare(), 1 - 2.0 / 800, 1e-12);
}

// The policy reaches the bound wherever micro-batches are equal.
TEST(OverlapBoundTest, ThePolicyReachesIt) {
  for (const double expert : {0.5, 1.0, 2.0}) {
    for (const double wire : {0.0, 0.3, 1.0, 5.0}) {
      for (int m = 1; m <= 8; ++m) {
        const PipelineShape shape = {.experts = std::vector<bool>(12, true)};
        const LayerCost cost = {.router = 1, .expert = expert, .wire = wire};
        const double simulated =
            SimulateStep(shape, std::vector<bool>(m, false), std::vector<LayerCost>(m, cost)).seconds;
        const UniformStep bound = {.layers = 12, .micro_batches = m, .router = 1, .expert = expert, .wire = wire};
        EXPECT_GE(simulated, bound.Seconds() * (1 - 1e-9)) << m << " " << expert << " " << wire;
        EXPECT_LE(simulated, bound.Seconds() * 1.02) << m << " " << expert << " " << wire;
      }
    }
  }
}

TEST(OverlapBoundTest, SharedExpertsAreHiddenBehindTheOthersOrTheOtherWayRound) {
  UniformStep step = {.layers = 10, .micro_batches = 1, .router = 1, .shared = 2, .expert = 3, .wire = 1};
  EXPECT_DOUBLE_EQ(step.Seconds(), 60);
  step.shared = 9;
  EXPECT_DOUBLE_EQ(step.Seconds(), 100);
}

TEST(OverlapBoundTest, NoPolicyIsBelowItWithSharedExperts) {
  for (const double shared : {0.2, 1.0, 3.0}) {
    for (const double wire : {0.0, 0.3, 5.0}) {
      for (int m = 1; m <= 8; ++m) {
        const PipelineShape shape = {.experts = std::vector<bool>(12, true), .shared_experts = true};
        const LayerCost cost = {.router = 1, .shared = shared, .expert = 1.5, .wire = wire};
        const double simulated =
            SimulateStep(shape, std::vector<bool>(m, false), std::vector<LayerCost>(m, cost)).seconds;
        const UniformStep bound = {
            .layers = 12, .micro_batches = m, .router = 1, .shared = shared, .expert = 1.5, .wire = wire};
        EXPECT_GE(simulated, bound.Seconds() * (1 - 1e-9)) << m << " " << shared << " " << wire;
      }
    }
  }
}

}  // namespace
}  // namespace tandem::scheduler
