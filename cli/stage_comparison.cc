#include "cli/stage_comparison.h"

#include <algorithm>

#include "absl/types/span.h"

namespace tandem::cli {
namespace {

using scheduler::LayerCost;
using scheduler::SimulatedMicroBatch;
using scheduler::SimulatedStages;
using scheduler::StagePolicy;
using scheduler::StageSimulation;

constexpr int kSteps = 8;  // simulated, so that rolling ones settle

// How micro-batches of a mixed load are arranged.
enum class Mix : uint8_t { kDecodeOnly, kApart, kAlternating, kByDirection };

struct Policy {
  const char* name;
  StagePolicy direction;
  bool ping_pong;  // several micro-batches inside a stage, or one behind the other
  bool rolling;
  Mix mix;
  int lines = 1;  // that the stages are divided among, each a service of its own with its share of the micro-batches
};

constexpr Policy kDecode[] = {
    {"waves", StagePolicy::kOneWay, false, false, Mix::kDecodeOnly},
    {"one-way", StagePolicy::kOneWay, true, false, Mix::kDecodeOnly},
    {"one-way, rolling", StagePolicy::kOneWay, true, true, Mix::kDecodeOnly},
    {"dualpipe", StagePolicy::kDualPipe, true, false, Mix::kDecodeOnly},
    {"dualpipe, rolling", StagePolicy::kDualPipe, true, true, Mix::kDecodeOnly},
    {"two lines", StagePolicy::kOneWay, true, false, Mix::kDecodeOnly, 2},
};

constexpr Policy kMixed[] = {
    {"one-way, decodes first", StagePolicy::kOneWay, true, false, Mix::kApart},
    {"one-way, alternating", StagePolicy::kOneWay, true, false, Mix::kAlternating},
    {"dualpipe, both kinds in both directions", StagePolicy::kDualPipe, true, false, Mix::kAlternating},
    {"dualpipe, prefill one way, decode the other", StagePolicy::kDualPipe, true, false, Mix::kByDirection},
    {"two lines, alternating", StagePolicy::kOneWay, true, false, Mix::kAlternating, 2},
};

bool IsPrefill(Mix mix, int index, int count) {
  switch (mix) {
    case Mix::kDecodeOnly:
      return false;
    case Mix::kAlternating:
      return index % 2 == 1;
    case Mix::kApart:
    case Mix::kByDirection:
      return index >= count / 2;
  }
  return false;
}

std::vector<SimulatedMicroBatch> MicroBatches(const ComparedCosts& costs, const Policy& policy, int count) {
  std::vector<SimulatedMicroBatch> micro_batches(count);
  for (int i = 0; i < count; ++i) {
    const double factor = IsPrefill(policy.mix, i, count) ? costs.prefill : 1;
    micro_batches[i].direction = policy.direction == StagePolicy::kDualPipe ? i * 2 / count : 0;
    micro_batches[i].cost = {.router = costs.router * factor, .expert = costs.expert * factor, .wire = costs.wire};
  }
  return micro_batches;
}

ComparedRow Compare(const ComparedCosts& costs, const Policy& policy, int stages, int count, int layers) {
  StageSimulation simulation;
  simulation.layout = {.num_stages = stages / policy.lines, .num_layers = layers, .policy = policy.direction};
  simulation.shape.experts.assign(layers, true);
  simulation.window = policy.ping_pong ? 0 : 1;
  simulation.handover = costs.handover;
  simulation.workers_of_stage = costs.workers_of_stage;
  simulation.steps = kSteps;
  simulation.rolling = policy.rolling;
  const SimulatedStages result = SimulateStages(simulation, MicroBatches(costs, policy, count / policy.lines));
  ComparedRow row = {.load = policy.mix == Mix::kDecodeOnly ? "decode" : "prefill and decode",
                     .policy = policy.name,
                     .stages = stages,
                     .micro_batches = count};
  double routers = 0;
  for (const double busy : result.router_busy) {
    routers += busy;
  }
  const double pools = costs.workers_of_stage ? simulation.layout.num_stages : 1;
  row.step = result.seconds / kSteps;
  row.ideal = std::max(routers / simulation.layout.num_stages, result.workers_busy / pools) / kSteps;
  row.bubble = result.bubble();
  row.resident = *std::max_element(result.most_resident.begin(), result.most_resident.end());
  int held = 0;
  for (const LayerRange& range : simulation.layout.RangesOf(0)) {
    held += range.size();
  }
  row.weights = static_cast<double>(held) / layers;
  return row;
}

// Two lines that share workers would need a simulation of both.
bool CanCompare(const ComparedCosts& costs, const Policy& policy, int stages, int count) {
  const bool paired = policy.mix == Mix::kDecodeOnly || count >= 2 * policy.lines;
  const bool divided =
      policy.lines == 1 || (costs.workers_of_stage && stages % policy.lines == 0 && count % policy.lines == 0);
  return paired && divided;
}

}  // namespace

std::vector<ComparedRow> CompareStagePolicies(const ComparedCosts& costs, const std::vector<int>& stages,
                                              const std::vector<int>& micro_batches, int layers) {
  std::vector<ComparedRow> rows;
  for (const int count_of_stages : stages) {
    for (const int count : micro_batches) {
      for (const absl::Span<const Policy> policies : {absl::MakeConstSpan(kDecode), absl::MakeConstSpan(kMixed)}) {
        for (const Policy& policy : policies) {
          if (CanCompare(costs, policy, count_of_stages, count)) {
            rows.push_back(Compare(costs, policy, count_of_stages, count, layers));
          }
        }
      }
    }
  }
  return rows;
}

}  // namespace tandem::cli
