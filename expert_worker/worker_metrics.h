// A worker's /metrics and /health over HTTP.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/http/server.h"
#include "base/metrics.h"
#include "expert_worker/expert_worker_server.h"

namespace tandem::expert_worker {

// Serves until destroyed. `worker` must outlive it.
class WorkerMetricsServer {
 public:
  // Counters of layers carry the layer as a label; `per_expert` adds those of single experts, as many as the worker has
  // experts. `listen` is "host:port"; port 0: any free one.
  // Errors: INVALID_ARGUMENT (address), UNAVAILABLE (port in use).
  static absl::StatusOr<std::unique_ptr<WorkerMetricsServer>> Start(const std::string& listen,
                                                                    const std::string& worker_id,
                                                                    ExpertWorkerServer& worker, bool per_expert);

  int port() const { return server_->port(); }

 private:
  explicit WorkerMetricsServer(const std::string& worker_id) : registry_({{"worker", worker_id}}) {}
  void Register(ExpertWorkerServer& worker, bool per_expert);

  metrics::Registry registry_;
  std::shared_ptr<const void> alive_ = std::make_shared<int>(0);
  std::shared_ptr<prometheus::Collectable> probe_metrics_;
  std::shared_ptr<prometheus::Collectable> process_metrics_;
  std::unique_ptr<http::Server> server_;  // last: its threads read the registry
};

}  // namespace tandem::expert_worker
