// A router engine with its expert workers for tests, all in this process: experts inline (0 workers), or real worker
// servers behind gRPC on loopback. With pipeline stages, the others behind gRPC on loopback as well, each with a backend
// and connections of its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compute/backend.h"
#include "expert_worker/expert_worker_server.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "router/engine.h"
#include "router/pipeline_stage.h"
#include "transport/network_fate.h"

namespace tandem::testing {

struct ClusterOptions {
  std::string model_dir;
  std::string dtype = "auto";
  std::string kv_cache_dtype = "auto";
  std::string wire_dtype = "auto";
  int num_workers = 0;
  int router_threads = 2;
  int64_t max_batch_tokens = 64;
  int max_sequences = 16;
  int max_queue = 64;
  int64_t num_kv_blocks = 0;  // 0: enough for all sequences at full length
  bool prefix_caching = true;
  bool shared_memory = false;  // between router and workers, instead of gRPC over TCP
  int micro_batches = 1;
  int pipeline_stages = 1;
  scheduler::StagePolicy stage_policy = scheduler::StagePolicy::kOneWay;
  absl::Duration stage_timeout = absl::Seconds(60);
  // Between the router and each worker, with the worker's number added to the seed.
  std::optional<transport::NetworkConditions> network;
};

struct Generation {
  absl::Status status;
  router::FinishReason finish_reason = router::FinishReason::kNone;
  std::vector<int32_t> tokens;
  std::vector<std::vector<float>> logits;  // of each generated token
  std::vector<float> logprobs;             // of each generated token, where asked for
  router::FirstEventInfo first;
  std::vector<float> embedding;
};

class Cluster {
 public:
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(ClusterOptions options);

  // Submits all requests at once and waits for all of them. One result for each answer: those of the first request,
  // then those of the second, and so on.
  std::vector<Generation> Generate(const std::vector<router::GenerationRequest>& requests);

  router::Engine& engine() { return *engine_; }
  router::WorkerPool& workers() { return *routers_[0].pool; }
  expert_worker::ExpertWorkerServer& worker(int i) { return *nodes_[i]->server; }
  const model::ModelSpec& spec() const { return config_.spec; }

  // Ends stage i (1 …) abruptly, and starts a new one on the same address.
  void KillStage(int i);
  absl::Status RestartStage(int i);
  const std::string& StageAddress(int i) const { return routers_[i].address; }
  transport::StageTerms Terms(int stage) const;
  // Waits until requests are taken again.
  absl::Status AwaitHealth();

  // Ends a worker's server abruptly, and starts a new, empty one on the same address.
  void KillWorker(int i);
  absl::Status RestartWorker(int i);

 private:
  // What every router process has: a share of the model, and ways to the experts.
  struct RouterNode {
    std::unique_ptr<compute::Backend> backend;
    std::unique_ptr<expert_worker::ExpertStore> store;
    std::unique_ptr<expert_worker::ExpertProbe> probe;
    std::unique_ptr<expert_worker::InlineExperts> inline_experts;
    std::unique_ptr<model::Decoder> decoder;
    std::shared_ptr<transport::Doorbell> doorbell;
    std::unique_ptr<router::WorkerPool> pool;
    // Stages but the head.
    std::string address = "127.0.0.1:0";
    std::unique_ptr<router::PipelineStage> stage;
    std::unique_ptr<transport::StageServer> server;
  };

  struct Node {
    std::unique_ptr<compute::Backend> backend;
    std::string address;
    std::unique_ptr<expert_worker::ExpertWorkerServer> server;
  };

  absl::Status StartServer(Node& node, int index);
  absl::Status StartWorkers();
  absl::Status StartRouter(int stage);
  absl::Status StartStage(int stage);
  absl::Status StartEngine();
  std::vector<router::WorkerPool::ChannelFactory> MakeChannels(RouterNode& node);
  expert_worker::ExpertLoader Loader(compute::Backend* backend) const;

  ClusterOptions options_;
  model::ModelConfig config_;
  model::Checkpoint checkpoint_;
  model::ModelDTypes dtypes_;
  transport::ModelIdentity identity_;
  std::vector<std::unique_ptr<Node>> nodes_;
  scheduler::StageLayout layout_;
  int64_t max_model_len_ = 0;
  int64_t num_kv_blocks_ = 0;
  std::vector<RouterNode> routers_;  // by stage
  std::unique_ptr<router::StageChain> chain_;
  std::unique_ptr<router::Engine> engine_;
};

// A greedy request for `max_tokens` tokens that does not stop early.
router::GenerationRequest GreedyRequest(std::vector<int32_t> prompt, int max_tokens);

}  // namespace tandem::testing
