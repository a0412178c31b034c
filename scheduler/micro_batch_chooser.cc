#include "scheduler/micro_batch_chooser.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "scheduler/pipeline_simulator.h"
#include "scheduler/stage_simulator.h"

namespace tandem::scheduler {
namespace {

constexpr double kMargin = 0.99;        // of the time with m = 1
constexpr int kMemory = 8;              // samples that a correction is made of
constexpr double kOutlier = 1.1;        // times the correction, the most that a sample counts
constexpr size_t kSimulatedLayers = 8;  // more of them take as long each
constexpr int kKeep = 16;               // steps that a choice is kept for; the first ones are kept for less
// A cut is tried again if it is predicted to take at most so many times as long as the best: the more, the less is
// known of it and the longer ago that is.
constexpr double kNear = 1.05;
constexpr double kDoubt = 0.3;   // divided by the samples
constexpr double kAging = 0.01;  // times the rounds since it was tried
constexpr int kTried[] = {1, 2, 3, 4, 6, 8};

}  // namespace

MicroBatchChooser::Key MicroBatchChooser::KeyOf(int64_t tokens, int64_t prompt_tokens) {
  return {static_cast<int>(std::lround(2 * std::log2(static_cast<double>(tokens)))), prompt_tokens > 0};
}

double MicroBatchChooser::Predict(int64_t tokens, int64_t prompt_tokens, int m) const {
  const int64_t count = std::min<int64_t>(m, tokens);
  std::vector<LayerCost> costs;
  std::vector<bool> follows;
  int64_t begin = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t size = (tokens - begin + count - i - 1) / (count - i);
    const bool has_prompt = begin + size > tokens - prompt_tokens;
    follows.push_back(i > 0 && begin > tokens - prompt_tokens);
    costs.push_back(costs_.Predict({.tokens = size, .has_prompt = has_prompt}));
    begin += size;
  }
  if (stages_.num_stages > 1) {
    return SimulateStaged(follows, costs);
  }
  PipelineShape shape = shape_;
  shape.experts.resize(std::min(shape.experts.size(), kSimulatedLayers), true);
  const double scale = static_cast<double>(shape_.experts.size()) / static_cast<double>(shape.experts.size());
  return SimulateStep(shape, follows, costs).seconds * scale;
}

double MicroBatchChooser::SimulateStaged(const std::vector<bool>& follows, absl::Span<const LayerCost> costs) const {
  StageSimulation simulation = {.layout = stages_};
  const int of_stage = std::max(1, static_cast<int>(kSimulatedLayers) / stages_.num_stages);
  simulation.layout.num_layers = std::min(stages_.num_layers, of_stage * stages_.num_stages);
  simulation.shape.shared_experts = shape_.shared_experts;
  simulation.shape.experts.assign(simulation.layout.num_layers, true);
  std::vector<SimulatedMicroBatch> micro_batches(costs.size());
  for (size_t i = 0; i < costs.size(); ++i) {
    const auto direction = static_cast<int>(i * simulation.layout.num_directions() / costs.size());
    const bool begins = i == 0 || micro_batches[i - 1].direction != direction;
    micro_batches[i] = {.direction = direction, .follows = follows[i] && !begins, .cost = costs[i]};
  }
  return SimulateStages(simulation, micro_batches).seconds * stages_.num_layers / simulation.layout.num_layers;
}

int MicroBatchChooser::Choose(int64_t tokens, int64_t prompt_tokens) {
  Kind& kind = kinds_[KeyOf(tokens, prompt_tokens)];
  if (kind.uses_left > 0 && kind.chosen <= tokens) {
    --kind.uses_left;
    return kind.chosen;
  }
  std::map<int, double> seconds;  // by m
  for (const int m : kTried) {
    if (m > tokens) {
      break;
    }
    const Record& record = kind.cuts[m];
    if (record.samples == 0) {
      return m;
    }
    seconds[m] = Predict(tokens, prompt_tokens, m) * record.ratio * (m == 1 ? kMargin : 1);
  }
  const auto best = std::min_element(seconds.begin(), seconds.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  kind.chosen = best->first;
  ++kind.rounds;
  kind.uses_left = std::min(kKeep, 2 * kind.rounds);
  const int challenger = Challenger(kind, seconds, best->first);
  return challenger > 0 ? challenger : best->first;
}

int MicroBatchChooser::Challenger(Kind& kind, const std::map<int, double>& seconds, int best) {
  Record* oldest = nullptr;
  int challenger = 0;
  for (const auto& [m, predicted] : seconds) {
    Record& record = kind.cuts[m];
    const double doubt = kDoubt / record.samples + kAging * (kind.rounds - record.last_round);
    const bool near = predicted <= seconds.at(best) * (kNear + doubt);
    if (m != best && near && (oldest == nullptr || record.last_round < oldest->last_round)) {
      oldest = &record;
      challenger = m;
    }
  }
  if (oldest != nullptr) {
    oldest->last_round = kind.rounds;
  }
  return challenger;
}

void MicroBatchChooser::Observe(int64_t tokens, int64_t prompt_tokens, int micro_batches, double seconds,
                                absl::Span<const std::pair<MicroBatchLoad, LayerCost>> layers) {
  for (const auto& [load, cost] : layers) {
    costs_.Observe(load, cost);
  }
  const double predicted = Predict(tokens, prompt_tokens, micro_batches);
  Record& record = kinds_[KeyOf(tokens, prompt_tokens)].cuts[micro_batches];
  record.samples = std::min(record.samples + 1, kMemory);
  if (predicted > 0) {
    const double most = record.samples == 1 ? std::numeric_limits<double>::infinity() : kOutlier * record.ratio;
    record.ratio += (std::min(seconds / predicted, most) - record.ratio) / record.samples;
  }
}

}  // namespace tandem::scheduler
