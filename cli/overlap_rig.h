// A router and an expert worker in one process, on separate CPUs, with a simulated network between them: what `tandem
// bench overlap` measures on.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/opened_model.h"
#include "compute/backend.h"
#include "expert_worker/expert_executor.h"
#include "router/engine.h"
#include "transport/simulated_network.h"

namespace tandem::cli {

struct OverlapRigOptions {
  std::vector<int> router_cpus;  // one compute thread each
  std::vector<int> worker_cpus;
  int max_sequences = 64;
  int64_t max_model_len = 512;
  transport::NetworkConditions network;
};

// Immutable after Start, apart from the engine.
class OverlapRig {
 public:
  // Errors: those of loading.
  static absl::StatusOr<std::unique_ptr<OverlapRig>> Start(std::shared_ptr<const OpenedModel> opened,
                                                           const OverlapRigOptions& options);

  router::Engine& engine() { return *engine_; }
  int moe_layers() const;

 private:
  OverlapRig() = default;
  absl::Status StartWorker(const OverlapRigOptions& options);
  absl::Status StartRouter(const OverlapRigOptions& options);

  std::shared_ptr<const OpenedModel> opened_;
  std::unique_ptr<compute::Backend> worker_backend_;
  std::unique_ptr<expert_worker::ExpertStore> store_;
  std::unique_ptr<expert_worker::ExpertProbe> probe_;
  std::unique_ptr<expert_worker::ExpertExecutor> executor_;
  std::unique_ptr<compute::Backend> router_backend_;
  std::unique_ptr<model::Decoder> decoder_;
  std::unique_ptr<router::WorkerPool> workers_;
  std::unique_ptr<router::Engine> engine_;
};

}  // namespace tandem::cli
