#include "scheduler/micro_batch_chooser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "scheduler/pipeline_simulator.h"

namespace tandem::scheduler {
namespace {

TEST(CostCurve, InterpolatesBetweenWhatItSaw) {
  CostCurve curve;
  EXPECT_EQ(curve.At(5), 0);
  curve.Observe(8, 2.0);
  EXPECT_DOUBLE_EQ(curve.At(8), 2);
  EXPECT_DOUBLE_EQ(curve.At(4), 1.5) << "half fixed, half proportional";
  curve.Observe(16, 4.0);
  EXPECT_NEAR(curve.At(12), 3, 0.01);
  for (int i = 0; i < 200; ++i) {
    curve.Observe(16, 6.0);
  }
  EXPECT_NEAR(curve.At(16), 6, 0.01) << "old samples fade";
}

TEST(CostCurve, ASingleSlowSampleCountsLittleAndManyCount) {
  CostCurve curve;
  for (int i = 0; i < 50; ++i) {
    curve.Observe(8, i == 40 ? 100.0 : 1.0);
  }
  EXPECT_LT(curve.At(8), 1.05);
  for (int i = 0; i < 100; ++i) {
    curve.Observe(8, 100.0);
  }
  EXPECT_GT(curve.At(8), 95);
  CostCurve nothing_at_first;
  for (int i = 0; i < 100; ++i) {
    nothing_at_first.Observe(8, i < 5 ? 0.0 : 1.0);
  }
  EXPECT_GT(nothing_at_first.At(8), 0.95);
}

// The formula of DESIGN.md section 5: with m · max(Ta, Te) ≥ Ta + Te + 2 Tc the wire is hidden, and a layer of all
// micro-batches takes m · max(Ta, Te).
TEST(SimulateStep, AgreesWithTheClosedForm) {
  const int kLayers = 50;
  const PipelineShape shape = {.experts = std::vector<bool>(kLayers, true), .shared_experts = false};
  for (const double attention : {1.0, 2.0}) {
    for (const double expert : {0.5, 1.0, 3.0}) {
      for (const double wire : {0.0, 0.5, 2.0}) {
        for (int m = 1; m <= 8; ++m) {
          const std::vector<LayerCost> costs(m, {.router = attention, .expert = expert, .wire = wire});
          const double seconds = SimulateStep(shape, std::vector<bool>(m, false), costs).seconds;
          const double round_trip = attention + expert + 2 * wire;
          const double per_layer = std::max(m * std::max(attention, expert), round_trip);
          EXPECT_NEAR(seconds, kLayers * per_layer, m * round_trip)
              << "Ta " << attention << ", Te " << expert << ", Tc " << wire << ", m " << m;
        }
      }
    }
  }
}

// A machine whose costs are known. Drives the chooser as the engine does, and compares what it ends with to the best.
void ExpectNoRegret(const std::function<LayerCost(int64_t tokens)>& cost_of) {
  const PipelineShape shape = {.experts = std::vector<bool>(24, true), .shared_experts = false};
  MicroBatchChooser chooser(shape);
  const auto run = [&](int64_t tokens, int m, std::vector<std::pair<MicroBatchLoad, LayerCost>>* layers) {
    std::vector<LayerCost> costs;
    for (int64_t i = 0, begin = 0; i < m; ++i) {
      const int64_t size = (tokens - begin + m - i - 1) / (m - i);
      costs.push_back(cost_of(size));
      if (layers != nullptr) {
        layers->push_back({{.tokens = size}, costs.back()});
      }
      begin += size;
    }
    return SimulateStep(shape, std::vector<bool>(m, false), costs).seconds;
  };
  for (const int64_t tokens : {1, 2, 4, 8, 16, 32, 64, 128, 256}) {
    double spent = 0;  // after some steps of learning, trying other cuts now and then included
    constexpr int kLearning = 60;
    constexpr int kSteps = 200;
    for (int step = 0; step < kLearning + kSteps; ++step) {
      const int m = chooser.Choose(tokens, 0);
      ASSERT_LE(m, tokens);
      std::vector<std::pair<MicroBatchLoad, LayerCost>> layers;
      const double seconds = run(tokens, m, &layers);
      chooser.Observe(tokens, 0, m, seconds, layers);
      spent += step < kLearning ? 0 : seconds;
    }
    double best = run(tokens, 1, nullptr);
    for (int other = 2; other <= std::min<int64_t>(8, tokens); ++other) {
      best = std::min(best, run(tokens, other, nullptr));
    }
    EXPECT_GE(best * kSteps / spent, 0.97) << tokens << " tokens";
  }
}

TEST(MicroBatchChooser, CutsWhereTheWireIsLong) {
  ExpectNoRegret(
      [](int64_t n) { return LayerCost{.router = 1e-4 + 1e-5 * n, .expert = 1e-4 + 1e-5 * n, .wire = 1e-3}; });
}

TEST(MicroBatchChooser, LeavesMemoryBoundBatchesWhole) {
  ExpectNoRegret([](int64_t n) { return LayerCost{.router = 1e-3, .expert = 2e-3 + 1e-6 * n, .wire = 1e-5}; });
}

TEST(MicroBatchChooser, BalancedComputeBoundLoadsAreCut) {
  ExpectNoRegret([](int64_t n) { return LayerCost{.router = 1e-4 * n, .expert = 1e-4 * n, .wire = 1e-5}; });
}

// The first look at a cut comes at a bad moment: another program runs, say.
TEST(MicroBatchChooser, TriesAgainWhatSeemedSlow) {
  const PipelineShape shape = {.experts = std::vector<bool>(8, true), .shared_experts = false};
  const int64_t tokens = 2;
  MicroBatchChooser chooser(shape);
  std::map<int, int> uses;
  for (int step = 0; step < 400; ++step) {
    const int m = chooser.Choose(tokens, 0);
    const LayerCost cost = {.router = 1e-3 / m, .expert = 1e-3 / m, .wire = 1e-5};
    const double seconds = SimulateStep(shape, std::vector<bool>(m, false), std::vector<LayerCost>(m, cost)).seconds;
    const bool disturbed = m == 2 && uses[m] == 0;
    ++uses[m];
    chooser.Observe(tokens, 0, m, seconds * (disturbed ? 2.4 : 1),
                    std::vector<std::pair<MicroBatchLoad, LayerCost>>(m, {{.tokens = tokens / m}, cost}));
  }
  EXPECT_GT(uses[2], 300);
}

// Now and then a step of the best cut is held up, costs and all.
TEST(MicroBatchChooser, SingleSlowStepsChangeLittle) {
  const PipelineShape shape = {.experts = std::vector<bool>(8, true), .shared_experts = false};
  const int64_t tokens = 12;
  MicroBatchChooser chooser(shape);
  std::map<int, int> uses;
  for (int step = 0; step < 400; ++step) {
    const int m = chooser.Choose(tokens, 0);
    ++uses[m];
    const bool held_up = m == 3 && uses[3] % 19 == 0;
    const double share = (held_up ? 4 : 1) * (m == 3 ? 1 : 1.2);
    const LayerCost cost = {.router = share * 1e-3 / m, .expert = share * 1e-3 / m, .wire = 1e-5};
    const double seconds = SimulateStep(shape, std::vector<bool>(m, false), std::vector<LayerCost>(m, cost)).seconds;
    chooser.Observe(tokens, 0, m, seconds,
                    std::vector<std::pair<MicroBatchLoad, LayerCost>>(m, {{.tokens = tokens / m}, cost}));
  }
  EXPECT_GT(uses[3], 300);
}

}  // namespace
}  // namespace tandem::scheduler
