#include "expert_worker/expert_worker_server.h"

#include <utility>

#include "base/status.h"

namespace tandem::expert_worker {

ExpertWorkerServer::ExpertWorkerServer(const ExpertWorkerOptions& options, compute::Backend& backend,
                                       ExpertLoader loader)
    : store_(std::move(loader)),
      probe_(options.num_layers, options.num_experts),
      executor_(options.identity, options.executor, backend, store_, probe_) {}

absl::StatusOr<std::unique_ptr<ExpertWorkerServer>> ExpertWorkerServer::Start(ExpertWorkerOptions options,
                                                                              compute::Backend& backend,
                                                                              ExpertLoader loader) {
  std::unique_ptr<ExpertWorkerServer> worker(new ExpertWorkerServer(options, backend, std::move(loader)));
  options.server.doorbell = worker->executor_.doorbell();
  ASSIGN_OR_RETURN(worker->server_, transport::StartGrpcServer(options.server, &worker->executor_));
  worker->executor_.Attend(worker->server_->frame_source());
  worker->server_->SetServing(true);
  return worker;
}

ExpertWorkerServer::~ExpertWorkerServer() { Shutdown(absl::InfinitePast()); }

void ExpertWorkerServer::Shutdown(absl::Time deadline) {
  executor_.StopIntake();
  if (server_ != nullptr) {
    server_->Shutdown(deadline);
  }
}

}  // namespace tandem::expert_worker
