#include "scheduler/stage_layout.h"

namespace tandem::scheduler {

absl::string_view StagePolicyName(StagePolicy policy) {
  return policy == StagePolicy::kDualPipe ? "dualpipe" : "one-way";
}

LayerRange StageLayout::LayersOf(int stage, int direction) const {
  const int place = direction == 0 ? stage : num_stages - 1 - stage;
  return {.begin = num_layers * place / num_stages, .end = num_layers * (place + 1) / num_stages};
}

std::vector<LayerRange> StageLayout::RangesOf(int stage) const {
  std::vector<LayerRange> ranges = {LayersOf(stage, 0)};
  if (num_directions() == 2 && LayersOf(stage, 1) != ranges[0]) {
    ranges.push_back(LayersOf(stage, 1));
  }
  return ranges;
}

}  // namespace tandem::scheduler
