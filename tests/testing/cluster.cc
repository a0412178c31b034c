#include "tests/testing/cluster.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>

#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "compute/cpu/cpu_backend.h"
#include "model/weights.h"
#include "router/stage_share.h"
#include "scheduler/placement.h"
#include "transport/grpc_channel.h"
#include "transport/in_process_channel.h"
#include "transport/simulated_network.h"

namespace tandem::testing {

using expert_worker::ExpertWorkerOptions;
using expert_worker::ExpertWorkerServer;

expert_worker::ExpertLoader Cluster::Loader(compute::Backend* backend) const {
  return [this, backend](int layer, int expert) {
    return model::LoadExpert(config_.spec, checkpoint_, dtypes_.weights, layer, expert, *backend);
  };
}

absl::Status Cluster::StartServer(Node& node, int index) {
  ExpertWorkerOptions options;
  options.identity = {absl::StrCat("worker-", index), identity_};
  options.server.listen = node.address;
  options.num_layers = config_.spec.num_layers();
  options.num_experts = config_.spec.gate.num_experts;
  ASSIGN_OR_RETURN(node.server, ExpertWorkerServer::Start(std::move(options), *node.backend, Loader(node.backend.get())));
  if (!options_.shared_memory) {
    node.address = absl::StrCat("127.0.0.1:", node.server->port());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(ClusterOptions options) {
  auto cluster = std::make_unique<Cluster>();
  Cluster& c = *cluster;
  c.options_ = options;
  ASSIGN_OR_RETURN(c.config_, model::ReadModelConfig(options.model_dir));
  ASSIGN_OR_RETURN(c.checkpoint_, model::Checkpoint::Open(options.model_dir));
  const model::ModelSpec& spec = c.config_.spec;
  c.checkpoint_.set_fp8_block(spec.fp8_block_rows, spec.fp8_block_cols);
  ASSIGN_OR_RETURN(c.dtypes_, model::ChooseDTypes(options.dtype, options.kv_cache_dtype, spec, options.wire_dtype));
  c.identity_ = {c.checkpoint_.Digest(c.config_.config_json), spec.model_type, c.dtypes_.weights, c.dtypes_.wire};
  c.layout_ = {.num_stages = options.pipeline_stages, .num_layers = spec.num_layers(), .policy = options.stage_policy};
  constexpr int kBlock = compute::kAttentionTile;
  c.max_model_len_ = std::min<int64_t>(1024, spec.max_position_embeddings);
  c.num_kv_blocks_ =
      options.num_kv_blocks > 0 ? options.num_kv_blocks : options.max_sequences * (c.max_model_len_ / kBlock + 1);
  c.max_model_len_ = std::min(c.max_model_len_, c.num_kv_blocks_ * kBlock);
  RETURN_IF_ERROR(c.StartWorkers());
  c.routers_.resize(options.pipeline_stages);
  for (int stage = options.pipeline_stages - 1; stage > 0; --stage) {
    RETURN_IF_ERROR(c.StartRouter(stage));
    RETURN_IF_ERROR(c.StartStage(stage));
  }
  RETURN_IF_ERROR(c.StartRouter(0));
  RETURN_IF_ERROR(c.StartEngine());
  return cluster;
}

absl::Status Cluster::StartWorkers() {
  for (int i = 0; i < options_.num_workers; ++i) {
    auto node = std::make_unique<Node>();
    node->backend = compute::cpu::CreateCpuBackend({.num_threads = 1});
    node->address = "127.0.0.1:0";
    if (options_.shared_memory) {
      static std::atomic<int> next_socket = 0;
      node->address = absl::StrCat("unix:", ::testing::TempDir(), "tandem-cluster-", getpid(), "-", next_socket++, ".sock");
    }
    RETURN_IF_ERROR(StartServer(*node, i));
    nodes_.push_back(std::move(node));
  }
  return absl::OkStatus();
}

std::vector<router::WorkerPool::ChannelFactory> Cluster::MakeChannels(RouterNode& node) {
  if (options_.num_workers == 0) {
    node.store = std::make_unique<expert_worker::ExpertStore>(Loader(node.backend.get()));
    node.probe = std::make_unique<expert_worker::ExpertProbe>(config_.spec.num_layers(), config_.spec.gate.num_experts);
    node.inline_experts = std::make_unique<expert_worker::InlineExperts>(
        expert_worker::WorkerIdentity{"inline", identity_}, *node.backend, *node.store, *node.probe);
    return {[handler = node.inline_experts.get()](const std::function<void()>&) {
      return transport::MakeInProcessChannel("inline", handler);
    }};
  }
  std::vector<router::WorkerPool::ChannelFactory> channels;
  const auto transport = options_.shared_memory ? transport::TransportChoice::kShm : transport::TransportChoice::kGrpc;
  for (const auto& worker : nodes_) {
    std::optional<transport::NetworkConditions> network = options_.network;
    if (network.has_value()) network->seed += channels.size();
    channels.push_back([address = worker->address, transport, network, doorbell = node.doorbell](std::function<void()> on_lost) {
      transport::GrpcChannelOptions grpc;
      grpc.transport = transport;
      grpc.doorbell = doorbell;
      grpc.on_lost = std::move(on_lost);
      auto channel = transport::MakeGrpcChannel(address, std::move(grpc));
      return network.has_value() ? transport::MakeSimulatedNetworkChannel(std::move(channel), *network)
                                 : std::move(channel);
    });
  }
  return channels;
}

absl::Status Cluster::StartRouter(int stage) {
  RouterNode& node = routers_[stage];
  const model::ModelSpec& spec = config_.spec;
  const model::ModelShare share = router::ShareOf(layout_, stage);
  node.backend = compute::cpu::CreateCpuBackend({.num_threads = options_.router_threads});
  node.doorbell = std::make_shared<transport::Doorbell>(transport::kDefaultSpin);
  const std::vector<router::WorkerPool::ChannelFactory> channels = MakeChannels(node);
  node.pool = std::make_unique<router::WorkerPool>(
      channels, identity_,
      scheduler::StaticPlacement(router::MoeLayersOf(share, spec), spec.gate.num_experts,
                                 static_cast<int>(channels.size())),
      router::WorkerPool::Options{.doorbell = node.doorbell});
  ASSIGN_OR_RETURN(model::RouterWeights weights, model::LoadRouterWeights(spec, checkpoint_, dtypes_, max_model_len_,
                                                                          *node.backend, nullptr, share));
  node.decoder = std::make_unique<model::Decoder>(spec, dtypes_, std::move(weights), *node.backend);
  return node.pool->WaitUntilReady(absl::Now() + absl::Seconds(60), nullptr);
}

transport::StageTerms Cluster::Terms(int stage) const {
  return router::TermsOf(layout_, stage, identity_, dtypes_, compute::kAttentionTile, options_.max_batch_tokens,
                         max_model_len_);
}

absl::Status Cluster::StartStage(int stage) {
  RouterNode& node = routers_[stage];
  router::PipelineStageOptions options = {.layout = layout_, .terms = Terms(stage)};
  options.next_stage = stage + 1 < options_.pipeline_stages ? routers_[stage + 1].address : "";
  options.runner = {.max_batch_tokens = options_.max_batch_tokens, .num_kv_blocks = num_kv_blocks_};
  ASSIGN_OR_RETURN(node.stage, router::PipelineStage::Create(*node.decoder, *node.pool, std::move(options)));
  ASSIGN_OR_RETURN(node.server, transport::StartStageServer(node.address, node.stage.get()));
  node.address = absl::StrCat("127.0.0.1:", node.server->port());
  return absl::OkStatus();
}

absl::Status Cluster::StartEngine() {
  router::EngineOptions engine;
  engine.max_batch_tokens = options_.max_batch_tokens;
  engine.max_sequences = options_.max_sequences;
  engine.max_queue = options_.max_queue;
  engine.max_model_len = max_model_len_;
  engine.num_kv_blocks = num_kv_blocks_;
  engine.prefix_caching = options_.prefix_caching;
  engine.micro_batches = options_.micro_batches;
  engine.eos_token_ids = config_.generation.eos_token_ids;
  engine.stages = layout_;
  if (options_.pipeline_stages > 1) {
    chain_ = std::make_unique<router::StageChain>(router::StageChain::Options{
        .address = routers_[1].address, .terms = Terms(1), .step_timeout = options_.stage_timeout});
    RETURN_IF_ERROR(chain_->WaitUntilReady(absl::Now() + absl::Seconds(60), nullptr));
  }
  ASSIGN_OR_RETURN(engine_, router::Engine::Create(*routers_[0].decoder, *routers_[0].pool, engine, chain_.get()));
  return absl::OkStatus();
}

void Cluster::KillStage(int i) {
  routers_[i].server.reset();
  routers_[i].stage.reset();
}

absl::Status Cluster::RestartStage(int i) { return StartStage(i); }

absl::Status Cluster::AwaitHealth() { return chain_->WaitUntilReady(absl::Now() + absl::Seconds(60), nullptr); }

void Cluster::KillWorker(int i) { nodes_[i]->server.reset(); }

absl::Status Cluster::RestartWorker(int i) { return StartServer(*nodes_[i], i); }

namespace {

// Collects what one call of Generate brings; shared with the sinks.
class Collector {
 public:
  explicit Collector(size_t answers) : results_(answers), unfinished_(answers) {}

  void OnEvent(size_t first_answer, const router::TokenEvent& event) {
    absl::MutexLock lock(&mutex_);
    Generation& result = results_[first_answer + event.choice];
    if (event.first != nullptr) {
      result.first = *event.first;
    }
    if (event.token.has_value()) {
      result.tokens.push_back(*event.token);
    }
    if (event.logprobs != nullptr) {
      result.logprobs.push_back(event.logprobs->chosen.logprob);
    }
    if (event.embedding != nullptr) {
      result.embedding = *event.embedding;
    }
    if (event.finish_reason != router::FinishReason::kNone) {
      result.finish_reason = event.finish_reason;
      result.status = event.error;
      --unfinished_;
    }
  }

  void OnLogits(uint64_t id, int32_t choice, absl::Span<const float> logits) {
    absl::MutexLock lock(&mutex_);
    logits_.push_back({id, choice, {logits.begin(), logits.end()}});
  }

  void OnSubmitted(size_t first_answer, int answers, const absl::StatusOr<uint64_t>& id) {
    absl::MutexLock lock(&mutex_);
    if (id.ok()) {
      first_answer_[*id] = first_answer;
      return;
    }
    for (int i = 0; i < answers; ++i) {
      results_[first_answer + i].status = id.status();
      --unfinished_;
    }
  }

  std::vector<Generation> Await() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(+[](size_t* unfinished) { return *unfinished == 0; }, &unfinished_));
    for (Row& row : logits_) {
      results_[first_answer_.at(row.id) + row.choice].logits.push_back(std::move(row.logits));
    }
    return std::move(results_);
  }

 private:
  struct Row {
    uint64_t id;
    int32_t choice;
    std::vector<float> logits;
  };

  absl::Mutex mutex_;
  std::vector<Generation> results_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, size_t> first_answer_ ABSL_GUARDED_BY(mutex_);
  std::vector<Row> logits_ ABSL_GUARDED_BY(mutex_);
  size_t unfinished_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::vector<Generation> Cluster::Generate(const std::vector<router::GenerationRequest>& requests) {
  size_t answers = 0;
  for (const router::GenerationRequest& request : requests) {
    answers += static_cast<size_t>(request.sampling.n);
  }
  auto collector = std::make_shared<Collector>(answers);
  engine_->SetLogitsObserver([collector](uint64_t id, int32_t choice, int64_t, absl::Span<const float> logits) {
    collector->OnLogits(id, choice, logits);
  });
  size_t first = 0;
  for (const router::GenerationRequest& request : requests) {
    collector->OnSubmitted(first, request.sampling.n, engine_->Submit(request, [collector, first](const auto& event) {
      collector->OnEvent(first, event);
    }));
    first += static_cast<size_t>(request.sampling.n);
  }
  std::vector<Generation> results = collector->Await();
  engine_->SetLogitsObserver(nullptr);
  return results;
}

router::GenerationRequest GreedyRequest(std::vector<int32_t> prompt, int max_tokens) {
  router::GenerationRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  request.sampling.ignore_eos = true;
  return request;
}

}  // namespace tandem::testing
