#include "scheduler/stage_simulator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "scheduler/pipeline_simulator.h"

namespace tandem::scheduler {
namespace {

StageSimulation Dense(int stages, int layers, StagePolicy policy) {
  StageSimulation simulation;
  simulation.layout = {.num_stages = stages, .num_layers = layers, .policy = policy};
  simulation.shape.experts.assign(layers, false);
  return simulation;
}

std::vector<SimulatedMicroBatch> Equal(int count, int directions, LayerCost cost) {
  std::vector<SimulatedMicroBatch> micro_batches(count);
  for (int i = 0; i < count; ++i) {
    micro_batches[i] = {.direction = i * directions / count, .cost = cost};
  }
  return micro_batches;
}

// The textbook: m micro-batches on S stages take m + S - 1 stage times, the bubble is (S - 1) / (m + S - 1).
TEST(StageSimulator, OneWayWithoutExpertsIsTheTextbookPipeline) {
  for (const int stages : {1, 2, 3, 4}) {
    for (const int count : {1, 2, 4, 8}) {
      StageSimulation simulation = Dense(stages, 12, StagePolicy::kOneWay);
      const double stage_time = 12.0 / stages;
      const SimulatedStages step = SimulateStages(simulation, Equal(count, 1, {.router = 1}));
      EXPECT_DOUBLE_EQ(step.seconds, (count + stages - 1) * stage_time) << stages << " stages, m = " << count;
      EXPECT_NEAR(step.bubble(), (stages - 1.0) / (count + stages - 1), 1e-12);
      simulation.steps = 3;
      EXPECT_DOUBLE_EQ(SimulateStages(simulation, Equal(count, 1, {.router = 1})).seconds, 3 * step.seconds);
    }
  }
}

// In the last stage micro-batches take turns, so that none of them is left over with nothing to hide its communication.
TEST(StageSimulator, TheLastStageHidesTheExpertsToTheEnd) {
  StageSimulation simulation = Dense(2, 16, StagePolicy::kOneWay);
  simulation.shape.experts.assign(16, true);
  simulation.workers_of_stage = true;
  const SimulatedStages step = SimulateStages(simulation, Equal(4, 1, {.router = 1, .expert = 1, .wire = 0.5}));
  const double first_leaves = 8 * 3;  // router, there, expert and back
  EXPECT_LE(step.seconds, first_leaves + 8 * 1 + 8 * 4 + 8);
}

TEST(StageSimulator, DualPipeFillsTwoStagesFromBothEnds) {
  const StageSimulation simulation = Dense(2, 8, StagePolicy::kDualPipe);
  const SimulatedStages step = SimulateStages(simulation, Equal(4, 2, {.router = 1}));
  EXPECT_DOUBLE_EQ(step.seconds, 16);
  EXPECT_NEAR(step.bubble(), 0, 1e-12);
}

TEST(StageSimulator, RollingStepsKeepTheLineFull) {
  StageSimulation simulation = Dense(4, 8, StagePolicy::kOneWay);
  simulation.steps = 50;
  simulation.rolling = true;
  EXPECT_LT(SimulateStages(simulation, Equal(4, 1, {.router = 1})).bubble(), 0.02);
}

TEST(StageSimulator, AHandoverIsPaidOnEveryLink) {
  StageSimulation simulation = Dense(3, 6, StagePolicy::kOneWay);
  simulation.handover = 0.5;
  EXPECT_DOUBLE_EQ(SimulateStages(simulation, Equal(1, 1, {.router = 1})).seconds, 6 + 3 * 0.5);
}

// Property: with one stage it is the simulator of one router; on more, no work is lost, nothing is faster than the
// busiest resource or than one micro-batch's way, and the same input gives the same output.
TEST(StageSimulator, ConservesWorkAndBounds) {
  std::mt19937 random(9);
  const auto cost = [&random] { return static_cast<double>(random() % 64) / 16; };
  for (int round = 0; round < 500; ++round) {
    StageSimulation simulation;
    simulation.layout = {.num_stages = 1 + static_cast<int>(random() % 4),
                         .num_layers = 4 + static_cast<int>(random() % 6),
                         .policy = random() % 2 == 0 ? StagePolicy::kOneWay : StagePolicy::kDualPipe};
    for (int layer = 0; layer < simulation.layout.num_layers; ++layer) {
      simulation.shape.experts.push_back(random() % 4 != 0);
    }
    simulation.shape.shared_experts = random() % 2 == 0;
    simulation.workers_of_stage = random() % 2 == 0;
    std::vector<SimulatedMicroBatch> micro_batches(1 + random() % 6);
    std::vector<LayerCost> costs;
    double work = 0;
    double longest = 0;
    for (SimulatedMicroBatch& micro_batch : micro_batches) {
      micro_batch.direction = simulation.layout.num_directions() > 1 ? static_cast<int>(random() % 2) : 0;
      micro_batch.cost = {.router = cost(), .shared = cost(), .expert = cost(), .wire = cost()};
      costs.push_back(micro_batch.cost);
      double way = 0;
      for (const bool experts : simulation.shape.experts) {
        const double shared = experts && simulation.shape.shared_experts ? micro_batch.cost.shared : 0;
        work += micro_batch.cost.router + shared;
        way += micro_batch.cost.router +
               (experts ? std::max(shared, micro_batch.cost.expert + 2 * micro_batch.cost.wire) : 0);
      }
      longest = std::max(longest, way);
    }
    const SimulatedStages step = SimulateStages(simulation, micro_batches);
    EXPECT_NEAR(std::accumulate(step.router_busy.begin(), step.router_busy.end(), 0.0), work, 1e-9);
    EXPECT_GE(step.seconds + 1e-9, longest);
    for (const double busy : step.router_busy) {
      EXPECT_GE(step.seconds + 1e-9, busy);
    }
    EXPECT_EQ(SimulateStages(simulation, micro_batches).seconds, step.seconds);
    if (simulation.layout.num_stages == 1) {
      const std::vector<bool> follows(micro_batches.size(), false);
      EXPECT_NEAR(SimulateStep(simulation.shape, follows, costs).seconds, step.seconds, 1e-9);
    }
  }
}

}  // namespace
}  // namespace tandem::scheduler
