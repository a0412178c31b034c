// Pipeline parallelism over routers: which stage computes which layers of which micro-batches. Pure.
//
//   one-way, 3 stages        head ─ layers A ─▶ 1 ─ layers B ─▶ 2 ─ layers C ─▶ results, back to the head
//
//   dualpipe, 3 stages       direction 0   head A ─▶ 1 B ─▶ 2 C
//                            direction 1   head C ◀─ 1 B ◀─ 2 A
//
// DualPipe (DeepSeek-V3 report, arXiv:2412.19437, section 3.2.1) feeds a line of stages from both ends, so that each
// stage holds two ranges of layers. Here, without backward passes, a sequence stays in one direction: its KV cache lies
// on that way.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/layer_range.h"

namespace tandem::scheduler {

enum class StagePolicy : uint8_t { kOneWay, kDualPipe };

absl::string_view StagePolicyName(StagePolicy policy);  // "one-way", "dualpipe"

// Stages are numbered from the head, 0, to num_stages - 1. num_layers ≥ num_stages ≥ 1.
struct StageLayout {
  int num_stages = 1;
  int num_layers = 0;
  StagePolicy policy = StagePolicy::kOneWay;

  int num_directions() const { return policy == StagePolicy::kDualPipe && num_stages > 1 ? 2 : 1; }

  // What `stage` computes for micro-batches of `direction`. Stages differ by at most one layer.
  LayerRange LayersOf(int stage, int direction) const;

  // All that `stage` computes: one range, or two that do not overlap; in the order of directions.
  std::vector<LayerRange> RangesOf(int stage) const;

  // Where micro-batches of a direction begin, with the embedding, and where they end.
  int FirstStage(int direction) const { return direction == 0 ? 0 : num_stages - 1; }
  int LastStage(int direction) const { return direction == 0 ? num_stages - 1 : 0; }

  bool operator==(const StageLayout&) const = default;
};

}  // namespace tandem::scheduler
