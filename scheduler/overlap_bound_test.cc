#include "scheduler/overlap_bound.h"

#include <gtest/gtest.h>

#include <random>

#include "scheduler/pipeline_simulator.h"

namespace tandem::scheduler {
namespace {

IdealStep Uniform(int layers, int micro_batches, const LayerCost& cost) {
  return {.layers = layers, .micro_batches = std::vector<LayerCost>(micro_batches, cost)};
}

TEST(OverlapBoundTest, OneMicroBatchHidesNothing) {
  const IdealStep step = Uniform(10, 1, {.router = 1, .expert = 2, .wire = 3});
  EXPECT_DOUBLE_EQ(step.Seconds(), 90);
  EXPECT_DOUBLE_EQ(step.HideableShare(), 0);
}

TEST(OverlapBoundTest, TwoBalancedMicroBatchesKeepBothSidesBusy) {
  const IdealStep step = Uniform(10, 2, {.router = 1, .expert = 1});
  EXPECT_DOUBLE_EQ(step.Seconds(), 21);  // the second one ends one visit after the first
}

TEST(OverlapBoundTest, FullPipesHideAllButTheFirstAndLastTrip) {
  const IdealStep step = Uniform(100, 4, {.router = 1, .expert = 1, .wire = 1});
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
        const IdealStep bound = Uniform(12, m, cost);
        EXPECT_GE(simulated, bound.Seconds() * (1 - 1e-9)) << m << " " << expert << " " << wire;
        EXPECT_LE(simulated, bound.Seconds() * 1.02) << m << " " << expert << " " << wire;
      }
    }
  }
}

TEST(OverlapBoundTest, SharedExpertsAreHiddenBehindTheOthersOrTheOtherWayRound) {
  EXPECT_DOUBLE_EQ(Uniform(10, 1, {.router = 1, .shared = 2, .expert = 3, .wire = 1}).Seconds(), 60);
  EXPECT_DOUBLE_EQ(Uniform(10, 1, {.router = 1, .shared = 9, .expert = 3, .wire = 1}).Seconds(), 100);
}

TEST(OverlapBoundTest, NoPolicyIsBelowItWithSharedExperts) {
  for (const double shared : {0.2, 1.0, 3.0}) {
    for (const double wire : {0.0, 0.3, 5.0}) {
      for (int m = 1; m <= 8; ++m) {
        const PipelineShape shape = {.experts = std::vector<bool>(12, true), .shared_experts = true};
        const LayerCost cost = {.router = 1, .shared = shared, .expert = 1.5, .wire = wire};
        const double simulated =
            SimulateStep(shape, std::vector<bool>(m, false), std::vector<LayerCost>(m, cost)).seconds;
        const IdealStep bound = Uniform(12, m, cost);
        EXPECT_GE(simulated, bound.Seconds() * (1 - 1e-9)) << m << " " << shared << " " << wire;
      }
    }
  }
}

// Over a long wire the slowest micro-batch's own way is the step.
TEST(OverlapBoundTest, AMicroBatchThatTakesLongerThanTheOthersIsWaitedFor) {
  IdealStep step = Uniform(10, 3, {.router = 1, .expert = 1, .wire = 50});
  EXPECT_DOUBLE_EQ(step.Seconds(), 1022);
  step.micro_batches[0] = {.router = 3, .expert = 4, .wire = 50};
  EXPECT_DOUBLE_EQ(step.Seconds(), 1070);
}

TEST(OverlapBoundTest, NoPolicyIsBelowItWithMicroBatchesThatAreNotAlike) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> seconds(0.1, 3);
  for (int round = 0; round < 500; ++round) {
    const bool shared_experts = round % 2 == 0;
    const int m = 1 + round % 8;
    IdealStep bound = {.layers = 1 + round % 7};
    const double wire = round % 3 == 0 ? 0 : 2 * seconds(random);
    for (int i = 0; i < m; ++i) {
      bound.micro_batches.push_back({.router = seconds(random),
                                     .shared = shared_experts ? seconds(random) : 0,
                                     .expert = seconds(random),
                                     .wire = wire});
    }
    const PipelineShape shape = {.experts = std::vector<bool>(bound.layers, true), .shared_experts = shared_experts};
    const double simulated = SimulateStep(shape, std::vector<bool>(m, false), bound.micro_batches).seconds;
    EXPECT_GE(simulated, bound.Seconds() * (1 - 1e-9)) << "round " << round;
  }
}

}  // namespace
}  // namespace tandem::scheduler
