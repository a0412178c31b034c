// A router's inner life: backend, weights, worker connections and engine, put together. Shared by serve, router,
// generate, chat and bench.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/awake_cpus.h"
#include "cli/flags.h"
#include "cli/opened_model.h"
#include "cli/stage_flags.h"
#include "cli/trace_file.h"
#include "compute/backend.h"
#include "expert_worker/expert_executor.h"
#include "model/decoder.h"
#include "router/engine.h"
#include "router/expert_plane.h"

namespace tandem::cli {

// Tells of a slow start in one line at a time ("weights 40 %", "1/2 expert workers ready …").
using StartProgress = std::function<void(const std::string& line)>;

// Everything is ready when Start returns. Destruction cancels what runs, closes the connections and writes the trace.
class RouterRuntime {
 public:
  // With several pipeline stages `plan` is the head's. `workers`: addresses of expert workers ("host:port" or
  // "unix:/path"); empty: experts inside this process.
  // Errors: those of loading; FAILED_PRECONDITION when a worker serves another model; DEADLINE_EXCEEDED when workers
  // do not come up within `worker_timeout`.
  static absl::StatusOr<std::unique_ptr<RouterRuntime>> Start(std::shared_ptr<const OpenedModel> opened,
                                                              const EngineFlags& flags, int threads,
                                                              const std::vector<std::string>& workers,
                                                              absl::Duration worker_timeout,
                                                              const StartProgress& progress,
                                                              const StagePlan& plan = {});

  // As Start, without an engine: the share of the model that the plan's stage has, and its workers.
  static absl::StatusOr<std::unique_ptr<RouterRuntime>> Load(std::shared_ptr<const OpenedModel> opened,
                                                             const EngineFlags& flags, int threads,
                                                             const std::vector<std::string>& workers,
                                                             absl::Duration worker_timeout, const StagePlan& plan,
                                                             const StartProgress& progress);

  // Blocks of a KV cache for this share, by --kv-cache-memory or the memory that is free.
  int64_t ChooseKvBlocks(const EngineFlags& flags) const;

  router::Engine& engine() { return *engine_; }
  router::WorkerPool& workers() { return *workers_; }
  const OpenedModel& opened() const { return *opened_; }
  const model::Decoder& decoder() const { return *decoder_; }
  int64_t max_model_len() const { return max_model_len_; }
  const compute::Backend& backend() const { return *backend_; }
  AwakeCpus* awake_cpus() { return awake_cpus_.get(); }

 private:
  RouterRuntime() = default;

  std::vector<router::WorkerPool::ChannelFactory> MakeChannels(const std::vector<std::string>& workers,
                                                               transport::TransportChoice transport,
                                                               const std::shared_ptr<transport::Doorbell>& doorbell);
  absl::Status ConnectStages(const EngineFlags& flags, const StagePlan& plan, absl::Time deadline,
                             const StartProgress& progress);
  absl::Status StartEngine(const EngineFlags& flags, const StagePlan& plan);

  std::shared_ptr<const OpenedModel> opened_;
  std::unique_ptr<AwakeCpus> awake_cpus_;  // null: they may halt
  std::unique_ptr<compute::Backend> backend_;
  // Only with experts inside this process.
  std::unique_ptr<expert_worker::ExpertStore> expert_store_;
  std::unique_ptr<expert_worker::ExpertProbe> expert_probe_;
  std::unique_ptr<expert_worker::InlineExperts> inline_experts_;

  std::unique_ptr<model::Decoder> decoder_;
  int64_t max_model_len_ = 0;
  std::unique_ptr<router::WorkerPool> workers_;
  std::unique_ptr<router::StageChain> stages_;  // null without other pipeline stages
  std::unique_ptr<router::Engine> engine_;
  std::unique_ptr<TraceFile> trace_file_;  // with --trace
};

// The loader of an expert store for a model: reads the checkpoint and packs for `backend`, both of which must outlive it.
expert_worker::ExpertLoader MakeExpertLoader(std::shared_ptr<const OpenedModel> opened, compute::Backend* backend);

}  // namespace tandem::cli
