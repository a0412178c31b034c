#include "cli/overlap_rig.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/cpu_affinity.h"
#include "base/status.h"
#include "cli/router_runtime.h"
#include "compute/cpu/cpu_backend.h"
#include "scheduler/placement.h"
#include "transport/in_process_channel.h"

namespace tandem::cli {

absl::StatusOr<OverlapRigOptions> SeparateCpus() {
  const std::vector<int> cpus = AvailableCpus();
  if (cpus.size() < 2) {
    return absl::FailedPreconditionError("overlap needs two CPUs, one for the router and one for the experts");
  }
  const auto middle = cpus.begin() + static_cast<int64_t>(cpus.size() / 2);
  OverlapRigOptions options;
  options.router_cpus.assign(cpus.begin(), middle);
  options.worker_cpus.assign(middle, cpus.end());
  return options;
}

namespace {

bool HasNetwork(const OverlapRigOptions& options) {
  return options.network.latency > absl::ZeroDuration() || options.network.bytes_per_second > 0;
}

// Nobody wakes those who poll.
constexpr absl::Duration kNeverSleep = absl::Hours(24);

expert_worker::ExecutorOptions ExecutorOptionsFor(const OverlapRigOptions& options) {
  expert_worker::ExecutorOptions executor;
  if (options.polled_network) {
    executor.spin = kNeverSleep;
  }
  return executor;
}

}  // namespace

absl::StatusOr<std::unique_ptr<OverlapRig>> OverlapRig::Start(std::shared_ptr<const OpenedModel> opened,
                                                              const OverlapRigOptions& options) {
  std::unique_ptr<OverlapRig> rig(new OverlapRig());
  rig->opened_ = std::move(opened);
  for (int i = 0; i < options.num_workers; ++i) {
    rig->StartWorker(options);
  }
  RETURN_IF_ERROR(rig->StartRouter(options));
  return rig;
}

int OverlapRig::moe_layers() const { return static_cast<int>(opened_->config.spec.moe_layers().size()); }

void OverlapRig::SetNetwork(absl::Duration latency, double bytes_per_second) {
  for (const auto& set : set_speed_) {
    set(latency, bytes_per_second);
  }
}

// Threads inherit the CPUs of the one that makes them.
void OverlapRig::StartWorker(const OverlapRigOptions& options) {
  const ScopedCpuAffinity affinity(options.worker_cpus);
  const model::ModelSpec& spec = opened_->config.spec;
  const std::string name = absl::StrCat("worker-", experts_.size());
  Worker& worker = experts_.emplace_back();
  worker.backend = compute::cpu::CreateCpuBackend({.num_threads = static_cast<int>(options.worker_cpus.size())});
  worker.store = std::make_unique<expert_worker::ExpertStore>(MakeExpertLoader(opened_, worker.backend.get()));
  worker.probe = std::make_unique<expert_worker::ExpertProbe>(spec.num_layers(), spec.gate.num_experts);
  worker.executor = std::make_unique<expert_worker::ExpertExecutor>(
      expert_worker::WorkerIdentity{name, opened_->identity}, ExecutorOptionsFor(options), *worker.backend,
      *worker.store, *worker.probe);
}

void OverlapRig::StartInlineExperts() {
  const model::ModelSpec& spec = opened_->config.spec;
  inline_store_ = std::make_unique<expert_worker::ExpertStore>(MakeExpertLoader(opened_, router_backend_.get()));
  inline_probe_ = std::make_unique<expert_worker::ExpertProbe>(spec.num_layers(), spec.gate.num_experts);
  inline_experts_ = std::make_unique<expert_worker::InlineExperts>(
      expert_worker::WorkerIdentity{"in-process", opened_->identity}, *router_backend_, *inline_store_, *inline_probe_);
}

std::vector<router::WorkerPool::ChannelFactory> OverlapRig::MakeChannels(const OverlapRigOptions& options) {
  std::vector<router::WorkerPool::ChannelFactory> factories;
  if (options.num_workers == 0) {
    StartInlineExperts();
    factories.push_back([this](const std::function<void()>&) {
      return transport::MakeInProcessChannel("in-process", inline_experts_.get());
    });
  }
  for (Worker& worker : experts_) {
    factories.push_back([this, &worker, options](const std::function<void()>&) {
      auto channel = transport::MakeInProcessChannel(worker.executor->Info().worker_id, worker.executor.get());
      if (options.polled_network) {
        transport::PolledNetwork network = transport::MakePolledNetworkChannel(std::move(channel), options.network);
        worker.executor->Attend(std::move(network.arrivals));
        set_speed_.push_back(std::move(network.set_speed));
        return std::move(network.channel);
      }
      if (!HasNetwork(options)) {
        return channel;
      }
      if (network_thread_ == nullptr) {
        const ScopedCpuAffinity affinity(options.worker_cpus);
        network_thread_ = std::make_shared<transport::NetworkThread>();
      }
      return transport::MakeSimulatedNetworkChannel(std::move(channel), options.network, network_thread_);
    });
  }
  return factories;
}

absl::Status OverlapRig::StartRouter(const OverlapRigOptions& options) {
  const ScopedCpuAffinity affinity(options.router_cpus);
  const OpenedModel& model = *opened_;
  const model::ModelSpec& spec = model.config.spec;
  router_backend_ = compute::cpu::CreateCpuBackend({.num_threads = static_cast<int>(options.router_cpus.size())});
  const std::vector<router::WorkerPool::ChannelFactory> channels = MakeChannels(options);
  router::WorkerPool::Options pool;
  if (options.polled_network) {
    pool.doorbell = std::make_shared<transport::Doorbell>(kNeverSleep);
  }
  workers_ = std::make_unique<router::WorkerPool>(
      channels, model.identity,
      scheduler::StaticPlacement(spec.moe_layers(), spec.gate.num_experts, static_cast<int>(channels.size())),
      std::move(pool));
  const int64_t max_model_len = std::min<int64_t>(options.max_model_len, spec.max_position_embeddings);
  ASSIGN_OR_RETURN(model::RouterWeights weights, model::LoadRouterWeights(spec, model.checkpoint, model.dtypes,
                                                                          max_model_len, *router_backend_, nullptr));
  decoder_ = std::make_unique<model::Decoder>(spec, model.dtypes, std::move(weights), *router_backend_);
  RETURN_IF_ERROR(workers_->WaitUntilReady(absl::Now() + absl::Minutes(30), nullptr));
  router::EngineOptions engine;
  engine.max_batch_tokens = std::max<int64_t>(options.max_batch_tokens, options.max_sequences);
  engine.max_sequences = options.max_sequences;
  engine.max_model_len = max_model_len;
  engine.num_kv_blocks = options.max_sequences * ((max_model_len + engine.kv_block_size - 1) / engine.kv_block_size);
  engine.prefix_caching = false;
  engine.micro_batches = options.num_workers == 0 ? 1 : 0;
  ASSIGN_OR_RETURN(engine_, router::Engine::Create(*decoder_, *workers_, engine));
  return absl::OkStatus();
}

}  // namespace tandem::cli
