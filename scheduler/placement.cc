#include "scheduler/placement.h"

#include <utility>

#include "base/status.h"

namespace tandem::scheduler {

Placement::Placement(uint64_t epoch, std::vector<int32_t> layers, int num_experts, int num_workers,
                     const std::vector<std::vector<int32_t>>& replicas)
    : epoch_(epoch), layers_(std::move(layers)), num_experts_(num_experts), num_workers_(num_workers) {
  TANDEM_CHECK(replicas.size() == layers_.size() * num_experts, replicas.size(), " replica lists");
  for (size_t slot = 0; slot < layers_.size(); ++slot) {
    TANDEM_CHECK(layers_[slot] >= static_cast<int32_t>(slot_of_layer_.size()), "layers are not ascending");
    slot_of_layer_.resize(layers_[slot] + 1, -1);
    slot_of_layer_.back() = static_cast<int32_t>(slot);
  }
  begin_.reserve(replicas.size() + 1);
  begin_.push_back(0);
  for (const std::vector<int32_t>& workers : replicas) {
    for (const int32_t worker : workers) {
      TANDEM_CHECK(worker >= 0 && worker < num_workers, "worker ", worker, " of ", num_workers);
      workers_.push_back(worker);
    }
    begin_.push_back(static_cast<int32_t>(workers_.size()));
  }
}

absl::Span<const int32_t> Placement::WorkersOf(int layer, int expert) const {
  if (layer < 0 || layer >= static_cast<int>(slot_of_layer_.size()) || slot_of_layer_[layer] < 0 || expert < 0 ||
      expert >= num_experts_) {
    return {};
  }
  const size_t index = static_cast<size_t>(slot_of_layer_[layer]) * num_experts_ + expert;
  return {workers_.data() + begin_[index], static_cast<size_t>(begin_[index + 1] - begin_[index])};
}

std::vector<LayerExpert> Placement::ExpertsOf(int worker) const {
  std::vector<LayerExpert> experts;
  for (const int32_t layer : layers_) {
    for (int32_t expert = 0; expert < num_experts_; ++expert) {
      for (const int32_t holder : WorkersOf(layer, expert)) {
        if (holder == worker) {
          experts.push_back({.layer = layer, .expert = expert});
          break;
        }
      }
    }
  }
  return experts;
}

Placement StaticPlacement(std::vector<int32_t> layers, int num_experts, int num_workers) {
  TANDEM_CHECK(num_experts >= 1 && num_workers >= 1, num_experts, " experts, ", num_workers, " workers");
  std::vector<std::vector<int32_t>> replicas(layers.size() * num_experts);
  for (size_t i = 0; i < replicas.size(); ++i) {
    replicas[i] = {static_cast<int32_t>(i % num_workers)};
  }
  return Placement(1, std::move(layers), num_experts, num_workers, replicas);
}

}  // namespace tandem::scheduler
