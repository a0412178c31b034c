// A router and expert workers in one process, on separate CPUs, with a simulated network between them: what most of
// `tandem bench` measures on.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/opened_model.h"
#include "compute/backend.h"
#include "expert_worker/expert_executor.h"
#include "router/engine.h"
#include "transport/simulated_network.h"

namespace tandem::cli {

inline constexpr int64_t kOverlapRigStepTokens = 512;  // of one step

struct OverlapRigOptions {
  std::vector<int> router_cpus;                      // one compute thread each
  std::vector<int> worker_cpus;                      // of every worker: several of them take turns
  int num_workers = 1;                               // 0: experts inside the router
  int64_t max_batch_tokens = kOverlapRigStepTokens;  // at least max_sequences are taken
  int max_sequences = 64;
  int64_t max_model_len = 512;
  transport::NetworkConditions network;
  // Router and workers carry the network's frames themselves and never sleep, so that nothing but computing takes time
  // on their CPUs, and the latency can be changed. Not for several workers, which would spin on the same CPUs.
  bool polled_network = false;
};

// The first half of this process's CPUs for the router, the other one for the workers. Errors: FAILED_PRECONDITION.
absl::StatusOr<OverlapRigOptions> SeparateCpus();

// Immutable after Start, apart from the engine.
class OverlapRig {
 public:
  // Errors: those of loading.
  static absl::StatusOr<std::unique_ptr<OverlapRig>> Start(std::shared_ptr<const OpenedModel> opened,
                                                           const OverlapRigOptions& options);

  router::Engine& engine() { return *engine_; }
  int moe_layers() const;

  // With a polled network, between requests. One way; bytes_per_second 0: unlimited.
  void SetNetwork(absl::Duration latency, double bytes_per_second = 0);

 private:
  OverlapRig() = default;
  void StartWorker(const OverlapRigOptions& options);
  void StartInlineExperts();
  std::vector<router::WorkerPool::ChannelFactory> MakeChannels(const OverlapRigOptions& options);
  absl::Status StartRouter(const OverlapRigOptions& options);

  std::shared_ptr<const OpenedModel> opened_;
  struct Worker {
    std::unique_ptr<compute::Backend> backend;
    std::unique_ptr<expert_worker::ExpertStore> store;
    std::unique_ptr<expert_worker::ExpertProbe> probe;
    std::unique_ptr<expert_worker::ExpertExecutor> executor;
  };
  std::vector<Worker> experts_;
  std::vector<std::function<void(absl::Duration, double)>> set_speed_;  // of each polled network
  std::shared_ptr<transport::NetworkThread> network_thread_;            // of all other networks
  std::unique_ptr<compute::Backend> router_backend_;
  // Only without workers.
  std::unique_ptr<expert_worker::ExpertStore> inline_store_;
  std::unique_ptr<expert_worker::ExpertProbe> inline_probe_;
  std::unique_ptr<expert_worker::InlineExperts> inline_experts_;
  std::unique_ptr<model::Decoder> decoder_;
  std::unique_ptr<router::WorkerPool> workers_;
  std::unique_ptr<router::Engine> engine_;
};

}  // namespace tandem::cli
