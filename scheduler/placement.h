// Which workers hold which experts. Pure data: workers are indices, a change is a new Placement with a higher epoch.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "base/layer_expert.h"

namespace tandem::scheduler {

// Immutable after construction, so safe to read from any thread.
class Placement {
 public:
  Placement() = default;
  // layers       the model's layers that have routed experts, ascending
  // replicas     [layers.size() * num_experts]: the workers of (layers[i], expert) at i * num_experts + expert,
  // preferred
  //              first; worker indices are below num_workers
  Placement(uint64_t epoch, std::vector<int32_t> layers, int num_experts, int num_workers,
            const std::vector<std::vector<int32_t>>& replicas);

  uint64_t epoch() const { return epoch_; }
  const std::vector<int32_t>& layers() const { return layers_; }
  int num_experts() const { return num_experts_; }
  int num_workers() const { return num_workers_; }

  // The workers that hold an expert, preferred first; empty if none does or the model has no such expert.
  absl::Span<const int32_t> WorkersOf(int layer, int expert) const;

  // Everything that a worker is to hold, by layer, then expert.
  std::vector<LayerExpert> ExpertsOf(int worker) const;

 private:
  uint64_t epoch_ = 0;
  std::vector<int32_t> layers_;
  int num_experts_ = 0;
  int num_workers_ = 0;
  std::vector<int32_t> slot_of_layer_;  // index into layers_, -1: no routed experts
  std::vector<int32_t> begin_;  // [experts + 1]: the replicas of expert i are workers_[begin_[i], begin_[i + 1])
  std::vector<int32_t> workers_;
};

// Epoch 1: every expert on one worker, dealt out in turn across the layers' borders. In each layer, and over the whole
// model, the workers' numbers of experts differ by at most one; the layers of a dense model (one expert each) are
// spread. num_experts and num_workers are at least 1.
Placement StaticPlacement(std::vector<int32_t> layers, int num_experts, int num_workers);

}  // namespace tandem::scheduler
