#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "scheduler/planner/plan.h"

namespace tandem::scheduler {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

absl::Status DoesNotFit(absl::string_view where, double needed, double available, absl::string_view help) {
  return absl::ResourceExhaustedError(absl::StrFormat("%s: %.1f GiB needed, %.1f GiB there, %.1f GiB too little; %s",
                                                      where, needed / kGiB, available / kGiB,
                                                      (needed - available) / kGiB, help));
}

int64_t LongestSequence(const LoadProfile& load) {
  return static_cast<int64_t>(
      std::ceil(static_cast<double>(load.prompt_tokens + load.output_tokens) * (1 + load.length_spread)));
}

}  // namespace

absl::StatusOr<MemoryPlan> PlanMemory(const PlanInput& input) {
  const ModelProfile& model = input.model;
  const ClusterLayout& layout = input.layout;
  const double router_memory = input.router.memory_bytes * input.usable_memory;
  MemoryPlan memory;
  memory.router_weights = model.router_weight_bytes() + (layout.workers == 0 ? model.routed_weight_bytes() : 0);
  if (layout.workers > 0) {
    const double available = input.worker.memory_bytes * input.usable_memory;
    // The fullest device: whole experts.
    const double experts =
        std::ceil(static_cast<double>(model.num_experts) * model.moe_layers() / layout.devices_of_workers());
    memory.worker_weights = experts * model.expert_parameters * model.weight_bytes;
    if (memory.worker_weights > available) {
      return DoesNotFit("experts of a worker device", memory.worker_weights, available, "use more workers");
    }
  }
  const int64_t block = layout.kv_block_size;
  const int64_t longest = LongestSequence(input.load);
  const int64_t blocks_each = (longest + block - 1) / block;
  const double block_bytes = model.cache_bytes_per_token() * static_cast<double>(block);
  memory.kv_cache = router_memory - memory.router_weights;
  memory.kv_blocks = static_cast<int64_t>(std::max(memory.kv_cache, 0.0) / block_bytes);
  if (memory.kv_blocks < blocks_each) {
    return DoesNotFit(
        "weights and one request on a router", memory.router_weights + static_cast<double>(blocks_each) * block_bytes,
        router_memory,
        layout.workers == 0 ? "give the experts to workers" : "use a smaller KV cache dtype or shorter requests");
  }
  // Admission keeps a block free for each running sequence.
  memory.kv_blocks = std::min(memory.kv_blocks, (blocks_each + 1) * layout.max_sequences);
  memory.kv_tokens = memory.kv_blocks * block;
  return memory;
}

}  // namespace tandem::scheduler
