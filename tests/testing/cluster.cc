#include "tests/testing/cluster.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>

#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "compute/cpu/cpu_backend.h"
#include "model/weights.h"
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
  c.backend_ = compute::cpu::CreateCpuBackend({.num_threads = options.router_threads});
  router::WorkerPool::Options pool;
  pool.doorbell = std::make_shared<transport::Doorbell>(transport::kDefaultSpin);
  std::vector<router::WorkerPool::ChannelFactory> channels;
  if (options.num_workers == 0) {
    c.store_ = std::make_unique<expert_worker::ExpertStore>(c.Loader(c.backend_.get()));
    c.probe_ = std::make_unique<expert_worker::ExpertProbe>(spec.num_layers(), spec.gate.num_experts);
    c.inline_experts_ = std::make_unique<expert_worker::InlineExperts>(
        expert_worker::WorkerIdentity{"inline", c.identity_}, *c.backend_, *c.store_, *c.probe_);
    channels.push_back([&c](const std::function<void()>&) {
      return transport::MakeInProcessChannel("inline", c.inline_experts_.get());
    });
  }
  for (int i = 0; i < options.num_workers; ++i) {
    auto node = std::make_unique<Node>();
    node->backend = compute::cpu::CreateCpuBackend({.num_threads = 1});
    node->address = "127.0.0.1:0";
    if (options.shared_memory) {
      static std::atomic<int> next_socket = 0;
      node->address = absl::StrCat("unix:", ::testing::TempDir(), "tandem-cluster-", getpid(), "-", next_socket++, ".sock");
    }
    RETURN_IF_ERROR(c.StartServer(*node, i));
    const auto transport = options.shared_memory ? transport::TransportChoice::kShm : transport::TransportChoice::kGrpc;
    std::optional<transport::NetworkConditions> network = options.network;
    if (network.has_value()) network->seed += static_cast<uint64_t>(i);
    channels.push_back([address = node->address, transport, network, doorbell = pool.doorbell](std::function<void()> on_lost) {
      transport::GrpcChannelOptions grpc;
      grpc.transport = transport;
      grpc.doorbell = doorbell;
      grpc.on_lost = std::move(on_lost);
      auto channel = transport::MakeGrpcChannel(address, std::move(grpc));
      return network.has_value() ? transport::MakeSimulatedNetworkChannel(std::move(channel), *network)
                                 : std::move(channel);
    });
    c.nodes_.push_back(std::move(node));
  }
  const int num_channels = static_cast<int>(channels.size());
  c.pool_ = std::make_unique<router::WorkerPool>(
      channels, c.identity_,
      scheduler::StaticPlacement(spec.moe_layers(), spec.gate.num_experts, num_channels),
      std::move(pool));
  router::EngineOptions engine;
  engine.max_batch_tokens = options.max_batch_tokens;
  engine.max_sequences = options.max_sequences;
  engine.max_queue = options.max_queue;
  engine.max_model_len = std::min<int64_t>(1024, spec.max_position_embeddings);
  engine.num_kv_blocks = options.num_kv_blocks > 0
                             ? options.num_kv_blocks
                             : options.max_sequences * (engine.max_model_len / engine.kv_block_size + 1);
  engine.max_model_len = std::min(engine.max_model_len, engine.num_kv_blocks * engine.kv_block_size);
  engine.prefix_caching = options.prefix_caching;
  engine.micro_batches = options.micro_batches;
  engine.eos_token_ids = c.config_.generation.eos_token_ids;
  ASSIGN_OR_RETURN(model::RouterWeights weights,
                   model::LoadRouterWeights(spec, c.checkpoint_, c.dtypes_, engine.max_model_len, *c.backend_, nullptr));
  c.decoder_ = std::make_unique<model::Decoder>(spec, c.dtypes_, std::move(weights), *c.backend_);
  RETURN_IF_ERROR(c.pool_->WaitUntilReady(absl::Now() + absl::Seconds(60), nullptr));
  ASSIGN_OR_RETURN(c.engine_, router::Engine::Create(*c.decoder_, *c.pool_, engine));
  return cluster;
}

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
