#include "scheduler/planner/part_costs.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "scheduler/planner/load.h"
#include "scheduler/planner/testing/toy_cluster.h"

namespace tandem::scheduler {
namespace {

TEST(Curve, GoesStraightBetweenPointsAndOnBeyondTheLast) {
  const Curve curve({{4, 40}, {1, 10}, {2, 30}});
  EXPECT_EQ(curve.At(0.5), 10);
  EXPECT_EQ(curve.At(1.5), 20);
  EXPECT_EQ(curve.At(4), 40);
  EXPECT_EQ(curve.At(8), 60);
  EXPECT_EQ(Curve().At(3), 0);
  EXPECT_EQ(Curve::Constant(7).At(1000), 7);
}

TEST(Curve, AveragesPointsOfOneSize) { EXPECT_EQ(Curve({{2, 10}, {2, 20}}).At(2), 15); }

TEST(ExpectedDistinct, AgreesWithDrawing) {
  std::mt19937_64 random(1);
  const int experts = 16, top_k = 3, tokens = 5, rounds = 20000;
  int64_t distinct = 0;
  for (int round = 0; round < rounds; ++round) {
    std::set<int> chosen;
    for (int token = 0; token < tokens; ++token) {
      std::set<int> own;
      while (static_cast<int>(own.size()) < top_k) {
        own.insert(static_cast<int>(random() % experts));
      }
      chosen.insert(own.begin(), own.end());
    }
    distinct += static_cast<int64_t>(chosen.size());
  }
  EXPECT_NEAR(ExpectedDistinct(experts, top_k, tokens), static_cast<double>(distinct) / rounds, 0.05);
}

TEST(ExpectedImbalance, FallsWithTheNumberOfItems) {
  EXPECT_EQ(ExpectedImbalance(1, 10), 1);
  EXPECT_GT(ExpectedImbalance(16, 100), ExpectedImbalance(16, 1000));
  EXPECT_LE(ExpectedImbalance(16, 1), 16);
}

TEST(PartCosts, ReadsTheWeightsOfDistinctExpertsOnce) {
  const PlanInput input = ToyCluster();
  ClusterLayout one = input.layout;
  one.workers = 1;
  const PartCosts costs = MakePartCosts(input.model, input.router, input.worker, input.link, input.routing, one, 1);
  // One token is bound by reading its four experts.
  const double reading = 4 * input.model.expert_parameters * 2 / input.worker.memory_bandwidth;
  EXPECT_NEAR(costs.experts.At(1), reading + input.worker.expert_overhead, 1e-12);
  // Very many are bound by computing.
  const double computing = 2 * 4096.0 * 4 * input.model.expert_parameters / input.worker.operations;
  EXPECT_NEAR(costs.experts.At(4096), computing + input.worker.expert_overhead, 0.01 * computing);
}

TEST(PartCosts, SendsRowsOnceAWorkerAndBringsEveryPairBack) {
  const PlanInput input = ToyCluster();
  ClusterLayout two = input.layout;
  two.workers = 2;
  const PartCosts costs = MakePartCosts(input.model, input.router, input.worker, input.link, input.routing, two, 1);
  const double row = 1024 * 2 / 5e9;
  EXPECT_NEAR(costs.router_dispatch_wire.At(10), 10 * 2 * row, 1e-12) << "four picks reach both of two workers";
  EXPECT_NEAR(costs.router_combine_wire.At(10), 10 * 4 * row, 1e-12);
}

TEST(PartCosts, MeasuredPartsOfTheShapeTakePrecedence) {
  PlanInput input = ToyCluster();
  input.link = {};
  MeasuredParts parts;
  parts.router = Curve::Constant(1e-3);
  parts.network_router = Curve::Constant(2e-3);
  parts.experts = Curve::Constant(3e-3);
  parts.worker_frame = Curve::Constant(1e-4);
  input.router.measured = input.worker.measured = {{input.model.Shape(), parts}};
  ClusterLayout layout = {.routers = 1, .workers = 3, .worker_devices = 1};
  PartCosts costs = MakePartCosts(input.model, input.router, input.worker, input.link, input.routing, layout, 1);
  EXPECT_EQ(costs.router.At(5), 1e-3);
  EXPECT_EQ(costs.router_again.At(5), 1e-3) << "nothing is known of later micro-batches";
  EXPECT_NEAR(costs.experts.At(5), 3e-3 + 2e-4, 1e-12) << "three workers take turns on one device";
  input.link.latency = 1e-3;
  costs = MakePartCosts(input.model, input.router, input.worker, input.link, input.routing, layout, 1);
  EXPECT_EQ(costs.router.At(5), 2e-3) << "threads that sleep between frames";
  input.model.top_k = 2;
  costs = MakePartCosts(input.model, input.router, input.worker, input.link, input.routing, layout, 1);
  EXPECT_NE(costs.router.At(5), 1e-3) << "another shape";
}

TEST(CounterRandom, IsEvenAndDoesNotDependOnTheOrderOfDraws) {
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    sum += CounterRandom(7, 1, i);
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
  EXPECT_EQ(CounterRandom(7, 1, 99), CounterRandom(7, 1, 99));
  EXPECT_NE(CounterRandom(7, 1, 99), CounterRandom(7, 2, 99));
}

TEST(ArrivalGap, HasTheMeanOfItsRate) {
  LoadProfile load;
  load.rate = 4;
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    sum += ArrivalGap(load, i);
  }
  EXPECT_NEAR(sum / 10000, 0.25, 0.01);
}

}  // namespace
}  // namespace tandem::scheduler
