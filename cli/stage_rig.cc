#include "cli/stage_rig.h"

#include "absl/strings/str_cat.h"
#include "base/cpu_affinity.h"
#include "base/status.h"

namespace tandem::cli {

// Threads inherit the CPU of the one that makes them.
absl::StatusOr<std::unique_ptr<StageRig>> StageRig::Start(const std::shared_ptr<const OpenedModel>& opened,
                                                          const StageRigOptions& options) {
  std::unique_ptr<StageRig> rig(new StageRig());
  ASSIGN_OR_RETURN(rig->directory_, PrivateDirectory::Create());
  EngineFlags flags;
  flags.max_model_len = options.max_model_len;
  flags.max_sequences = options.max_sequences;
  flags.prefix_caching = false;
  const auto silent = [](const std::string&) {};
  const auto address = [&](int stage) { return absl::StrCat("unix:", rig->directory_->path(), "/", stage); };
  const int stages = options.layout.num_stages;
  for (int stage = stages - 1; stage >= 0; --stage) {
    const ScopedCpuAffinity affinity({options.cpus[stage]});
    StagePlan plan = {.layout = options.layout, .stage = stage};
    plan.next_stage = stage + 1 < stages ? address(stage + 1) : "";
    if (stage == 0) {
      ASSIGN_OR_RETURN(rig->head_, RouterRuntime::Start(opened, flags, 1, {}, absl::Minutes(10), silent, plan));
    } else {
      ASSIGN_OR_RETURN(std::unique_ptr<StageRuntime> started,
                       StageRuntime::Start(opened, flags, 1, {}, absl::Minutes(10), plan, address(stage), silent));
      rig->stages_.push_back(std::move(started));
    }
  }
  return rig;
}

}  // namespace tandem::cli
