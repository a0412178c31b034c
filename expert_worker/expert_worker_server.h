// An expert worker process without its main: store, executor and gRPC server wired together.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "compute/backend.h"
#include "expert_worker/expert_executor.h"
#include "expert_worker/expert_probe.h"
#include "expert_worker/expert_store.h"
#include "transport/grpc_server.h"

namespace tandem::expert_worker {

struct ExpertWorkerOptions {
  WorkerIdentity identity;
  ExecutorOptions executor;
  transport::GrpcServerOptions server;
  // Of the model; sizes of the per-expert counters.
  int num_layers = 0;
  int num_experts = 0;
};

// Thread-safe. Serves from Start on; experts are loaded when routers ask for them.
class ExpertWorkerServer {
 public:
  // `backend` must outlive the server and is driven by it alone; `loader` packs experts for it.
  // Errors: UNAVAILABLE if the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<ExpertWorkerServer>> Start(ExpertWorkerOptions options,
                                                                   compute::Backend& backend, ExpertLoader loader);
  ~ExpertWorkerServer();  // as Shutdown(InfinitePast)

  int port() const { return server_->port(); }
  ExpertStore& store() { return store_; }
  const ExpertProbe& probe() const { return probe_; }
  ExpertExecutor& executor() { return executor_; }

  // Takes no more frames, answers those it has, ends the streams, stops; at `deadline` connections are cut. Idempotent.
  void Shutdown(absl::Time deadline);

 private:
  ExpertWorkerServer(const ExpertWorkerOptions& options, compute::Backend& backend, ExpertLoader loader);

  ExpertStore store_;
  ExpertProbe probe_;
  ExpertExecutor executor_;
  std::unique_ptr<transport::GrpcExpertServer> server_;  // last: hands frames to the executor
};

}  // namespace tandem::expert_worker
