#include "cli/router_runtime.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/cpu_flags.h"
#include "compute/cpu/cpu_backend.h"
#include "router/stage_share.h"
#include "scheduler/placement.h"
#include "transport/grpc_channel.h"
#include "transport/in_process_channel.h"

namespace tandem::cli {
namespace {

// Without --kv-cache-memory: room for every sequence at full length, but at most a quarter of the free memory.
uint64_t DefaultKvBytes(uint64_t wanted) {
  const uint64_t free_bytes =
      static_cast<uint64_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return std::min(wanted, free_bytes / 4);
}

absl::StatusOr<int64_t> ChooseMaxModelLen(const model::ModelSpec& spec, int64_t requested) {
  const bool extendable = spec.attention.rope.kind != model::RopeSpec::Kind::kDynamic;
  if (requested > spec.max_position_embeddings && !extendable) {
    return absl::InvalidArgumentError(absl::StrCat("--max-model-len ", requested, " exceeds the trained context of ",
                                                   spec.max_position_embeddings,
                                                   ", beyond which dynamic rope scaling would make answers depend on "
                                                   "the length of the prompt"));
  }
  if (requested > spec.max_position_embeddings) {
    spdlog::warn("--max-model-len {} exceeds the trained context of {}", requested, spec.max_position_embeddings);
  }
  return requested > 0 ? requested : spec.max_position_embeddings;
}

transport::TransportChoice ChooseTransport(absl::string_view flag) {
  return flag == "shm"    ? transport::TransportChoice::kShm
         : flag == "grpc" ? transport::TransportChoice::kGrpc
                          : transport::TransportChoice::kAuto;
}

// Experts on the router's own cores cannot overlap with it, and cutting a batch reads their weights more than once.
int ChooseMicroBatches(const EngineFlags& flags, const std::vector<std::string>& workers) {
  const bool share_cores =
      !flags.workers_elsewhere &&
      std::all_of(workers.begin(), workers.end(),
                  [](const std::string& address) { return absl::string_view(address).substr(0, 5) == "unix:"; });
  return workers.empty() || (flags.micro_batches == 0 && share_cores) ? 1 : flags.micro_batches;
}

}  // namespace

expert_worker::ExpertLoader MakeExpertLoader(std::shared_ptr<const OpenedModel> opened, compute::Backend* backend) {
  return [opened = std::move(opened), backend](int layer, int expert) {
    return model::LoadExpert(opened->config.spec, opened->checkpoint, opened->dtypes.weights, layer, expert, *backend);
  };
}

std::vector<router::WorkerPool::ChannelFactory> RouterRuntime::MakeChannels(
    const std::vector<std::string>& workers, transport::TransportChoice transport,
    const std::shared_ptr<transport::Doorbell>& doorbell) {
  auto deadlines = std::make_shared<transport::DeadlineQueue>();
  if (workers.empty()) {
    const model::ModelSpec& spec = opened_->config.spec;
    expert_store_ = std::make_unique<expert_worker::ExpertStore>(MakeExpertLoader(opened_, backend_.get()));
    expert_probe_ = std::make_unique<expert_worker::ExpertProbe>(spec.num_layers(), spec.gate.num_experts);
    inline_experts_ = std::make_unique<expert_worker::InlineExperts>(
        expert_worker::WorkerIdentity{"in-process", opened_->identity}, *backend_, *expert_store_, *expert_probe_);
    return {[this, deadlines](const std::function<void()>&) {
      return transport::MakeInProcessChannel("in-process", inline_experts_.get(), deadlines);
    }};
  }
  std::vector<router::WorkerPool::ChannelFactory> factories;
  for (const std::string& address : workers) {
    factories.push_back([address, deadlines, transport, doorbell](std::function<void()> on_lost) {
      transport::GrpcChannelOptions options;
      options.transport = transport;
      options.deadlines = deadlines;
      options.doorbell = doorbell;
      options.on_lost = std::move(on_lost);
      return transport::MakeGrpcChannel(address, std::move(options));
    });
  }
  return factories;
}

absl::StatusOr<std::unique_ptr<RouterRuntime>> RouterRuntime::Start(std::shared_ptr<const OpenedModel> opened,
                                                                    const EngineFlags& flags, int threads,
                                                                    const std::vector<std::string>& workers,
                                                                    absl::Duration worker_timeout,
                                                                    const StartProgress& progress,
                                                                    const StagePlan& plan) {
  const absl::Time deadline = absl::Now() + worker_timeout;
  ASSIGN_OR_RETURN(std::unique_ptr<RouterRuntime> runtime,
                   Load(std::move(opened), flags, threads, workers, worker_timeout, plan, progress));
  EngineFlags engine = flags;
  if (plan.single()) {
    engine.micro_batches = ChooseMicroBatches(flags, workers);
  } else {
    RETURN_IF_ERROR(runtime->ConnectStages(flags, plan, deadline, progress));
  }
  RETURN_IF_ERROR(runtime->StartEngine(engine, plan));
  if (!flags.trace.empty()) {
    ASSIGN_OR_RETURN(runtime->trace_file_, TraceFile::Start(flags.trace, runtime->engine_->recorder()));
  }
  return runtime;
}

absl::StatusOr<std::unique_ptr<RouterRuntime>> RouterRuntime::Load(std::shared_ptr<const OpenedModel> opened,
                                                                   const EngineFlags& flags, int threads,
                                                                   const std::vector<std::string>& workers,
                                                                   absl::Duration worker_timeout, const StagePlan& plan,
                                                                   const StartProgress& progress) {
  std::unique_ptr<RouterRuntime> runtime(new RouterRuntime());
  runtime->opened_ = std::move(opened);
  const OpenedModel& model = *runtime->opened_;
  const model::ModelSpec& spec = model.config.spec;
  const model::ModelShare share = plan.single() ? model::WholeModel(spec) : router::ShareOf(plan.layout, plan.stage);
  ASSIGN_OR_RETURN(runtime->max_model_len_, ChooseMaxModelLen(spec, flags.max_model_len));
  runtime->awake_cpus_ = MakeAwakeCpus(flags.keep_awake, threads);
  runtime->backend_ = compute::cpu::CreateCpuBackend({.num_threads = threads});

  // Workers load their experts while this process loads its own weights.
  router::WorkerPool::Options pool;
  pool.doorbell = std::make_shared<transport::Doorbell>(transport::kDefaultSpin);
  const std::vector<router::WorkerPool::ChannelFactory> channels =
      runtime->MakeChannels(workers, ChooseTransport(flags.expert_transport), pool.doorbell);
  const int num_workers = static_cast<int>(channels.size());
  runtime->workers_ = std::make_unique<router::WorkerPool>(
      channels, model.identity,
      scheduler::StaticPlacement(router::MoeLayersOf(share, spec), spec.gate.num_experts, num_workers),
      std::move(pool));
  ASSIGN_OR_RETURN(model::RouterWeights weights,
                   model::LoadRouterWeights(spec, model.checkpoint, model.dtypes, runtime->max_model_len_,
                                            *runtime->backend_,
                                            [&](double done) {
                                              progress(absl::StrFormat("loading weights %3.0f %%", done * 100));
                                            },
                                            share));
  runtime->decoder_ = std::make_unique<model::Decoder>(spec, model.dtypes, std::move(weights), *runtime->backend_);
  RETURN_IF_ERROR(runtime->workers_->WaitUntilReady(absl::Now() + worker_timeout, progress));
  return runtime;
}

absl::Status RouterRuntime::ConnectStages(const EngineFlags& flags, const StagePlan& plan, absl::Time deadline,
                                          const StartProgress& progress) {
  router::StageChain::Options options;
  options.address = plan.next_stage;
  options.terms = router::TermsOf(plan.layout, 1, opened_->identity, opened_->dtypes,
                                  router::EngineOptions().kv_block_size, flags.max_batch_tokens, max_model_len_);
  options.step_timeout = plan.timeout;
  stages_ = std::make_unique<router::StageChain>(std::move(options));
  return stages_->WaitUntilReady(deadline, progress);
}

int64_t RouterRuntime::ChooseKvBlocks(const EngineFlags& flags) const {
  constexpr int64_t kBlock = compute::kAttentionTile;
  const int64_t block_bytes = kBlock * model::Decoder::KvBytesPerToken(opened_->config.spec, opened_->dtypes.kv_cache,
                                                                       decoder_->share().num_kv_layers());
  const int64_t blocks_per_sequence = (max_model_len_ + kBlock - 1) / kBlock;
  const uint64_t wanted = static_cast<uint64_t>(blocks_per_sequence * flags.max_sequences) * block_bytes;
  const uint64_t bytes = flags.kv_cache_memory > 0 ? flags.kv_cache_memory : DefaultKvBytes(wanted);
  const auto blocks = static_cast<int64_t>(bytes / block_bytes);
  spdlog::info("KV cache: {}, {} blocks of {} tokens, {:.1f} MiB",
               std::string(compute::DTypeName(opened_->dtypes.kv_cache)), blocks, kBlock,
               static_cast<double>(blocks) * static_cast<double>(block_bytes) / (1 << 20));
  return blocks;
}

absl::Status RouterRuntime::StartEngine(const EngineFlags& flags, const StagePlan& plan) {
  router::EngineOptions options;
  options.max_batch_tokens = flags.max_batch_tokens;
  options.max_sequences = flags.max_sequences;
  options.max_queue = flags.max_queue;
  options.max_model_len = max_model_len_;
  options.prefix_caching = flags.prefix_caching;
  options.micro_batches = flags.micro_batches;
  options.dispatch_timeout = absl::Seconds(flags.dispatch_timeout_seconds);
  options.eos_token_ids = opened_->config.generation.eos_token_ids;
  options.num_kv_blocks = ChooseKvBlocks(flags);
  options.awake_cpus = awake_cpus_.get();
  if (stages_ != nullptr) {
    // The smallest cache rules: blocks have the same numbers everywhere.
    options.stages = plan.layout;
    options.num_kv_blocks = std::min(options.num_kv_blocks, stages_->kv_blocks());
    stages_->RequireKvBlocks(options.num_kv_blocks);
  }
  ASSIGN_OR_RETURN(engine_, router::Engine::Create(*decoder_, *workers_, options, stages_.get()));
  return absl::OkStatus();
}

}  // namespace tandem::cli
