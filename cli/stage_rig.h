// Pipeline stages in one process, each pinned to a CPU of its own, with the experts of its layers inside: what `tandem
// bench stages` measures on.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/opened_model.h"
#include "cli/private_directory.h"
#include "cli/router_runtime.h"
#include "cli/stage_runtime.h"

namespace tandem::cli {

struct StageRigOptions {
  scheduler::StageLayout layout;
  std::vector<int> cpus;  // of each stage
  int max_sequences = 64;
  int64_t max_model_len = 512;
};

// Immutable after Start, apart from the engine.
class StageRig {
 public:
  // Errors: those of loading.
  static absl::StatusOr<std::unique_ptr<StageRig>> Start(const std::shared_ptr<const OpenedModel>& opened,
                                                         const StageRigOptions& options);

  router::Engine& engine() { return head_->engine(); }

 private:
  StageRig() = default;

  std::unique_ptr<PrivateDirectory> directory_;
  std::vector<std::unique_ptr<StageRuntime>> stages_;  // from the last one to stage 1
  std::unique_ptr<RouterRuntime> head_;
};

}  // namespace tandem::cli
