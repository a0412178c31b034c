// A pipeline stage's inner life: its share of the model, worker connections, and the line to its neighbours.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/router_runtime.h"
#include "cli/stage_flags.h"
#include "router/pipeline_stage.h"
#include "transport/stage_link.h"

namespace tandem::cli {

// Serves from Start on. Destruction ends the line to the stage before, whose steps fail.
class StageRuntime {
 public:
  // As RouterRuntime::Start; UNAVAILABLE when `listen` cannot be bound.
  static absl::StatusOr<std::unique_ptr<StageRuntime>> Start(std::shared_ptr<const OpenedModel> opened,
                                                             const EngineFlags& flags, int threads,
                                                             const std::vector<std::string>& workers,
                                                             absl::Duration worker_timeout, const StagePlan& plan,
                                                             const std::string& listen, const StartProgress& progress);

  int port() const { return server_->port(); }  // 0 for a Unix socket

 private:
  StageRuntime() = default;

  std::unique_ptr<RouterRuntime> router_;
  std::unique_ptr<router::PipelineStage> stage_;
  std::unique_ptr<transport::StageServer> server_;
};

}  // namespace tandem::cli
