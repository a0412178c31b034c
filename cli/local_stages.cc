#include "cli/local_stages.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status.h"

namespace tandem::cli {
namespace {

constexpr char kThisProgram[] = "/proc/self/exe";

std::vector<std::string> Command(const LocalStagesOptions& options, int stage, const std::string& address,
                                 const std::string& next, int ready_fd) {
  std::vector<std::string> command = {std::filesystem::read_symlink(kThisProgram).string(), "router",
                                      options.model.model_dir};
  const auto add = [&command](const char* flag, const auto& value) {
    command.push_back(flag);
    command.push_back(absl::StrCat(value));
  };
  const EngineFlags& engine = options.engine;
  add("--stage", absl::StrCat(stage, "/", options.plan.layout.num_stages));
  add("--stage-policy", scheduler::StagePolicyName(options.plan.layout.policy));
  add("--listen", address);
  if (!next.empty()) {
    add("--next-stage", next);
  }
  if (!options.workers.empty()) {
    add("--workers", absl::StrJoin(options.workers, ","));
  }
  add("--worker-timeout", options.worker_timeout_seconds);
  add("--dtype", options.model.dtype);
  add("--wire-dtype", options.model.wire_dtype);
  add("--threads", options.model.threads);
  add("--max-model-len", engine.max_model_len);
  add("--max-batch-tokens", engine.max_batch_tokens);
  add("--max-sequences", engine.max_sequences);
  add("--kv-cache-dtype", engine.kv_cache_dtype);
  add("--kv-cache-memory", engine.kv_cache_memory);
  add("--expert-transport", engine.expert_transport);
  add("--dispatch-timeout", engine.dispatch_timeout_seconds);
  add("--keep-awake", "off");  // the head does it for the machine
  add("--ready-fd", ready_fd);
  add("--log-level", options.log.level);
  add("--log-format", options.log.format);
  return command;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalStages>> LocalStages::Start(LocalStagesOptions options) {
  std::unique_ptr<LocalStages> stages(new LocalStages());
  const int count = options.plan.layout.num_stages;
  if (count == 1) {
    return stages;
  }
  ASSIGN_OR_RETURN(stages->directory_, PrivateDirectory::Create());
  const auto address = [&path = stages->directory_->path(), count](int stage) {
    return stage < count ? absl::StrCat("unix:", path, "/stage-", stage, ".sock") : std::string();
  };
  stages->first_address_ = address(1);
  for (int i = 1; i < count; ++i) {
    SupervisorOptions supervisor;
    supervisor.name = absl::StrCat("stage-", i);
    supervisor.command = [options, i, own = address(i), next = address(i + 1)](int ready_fd) {
      return Command(options, i, own, next, ready_fd);
    };
    // A stage is ready when its weights are loaded and its workers are there.
    supervisor.ready_timeout = absl::Seconds(options.worker_timeout_seconds) + absl::Minutes(30);
    supervisor.on_ready = [i](const std::string&) { spdlog::info("pipeline stage {} is up", i); };
    supervisor.on_exit = [i](const absl::Status& reason) {
      spdlog::warn("pipeline stage {} ended ({}); it is started again", i, std::string(reason.message()));
    };
    stages->supervisors_.push_back(std::make_unique<Supervisor>(std::move(supervisor)));
  }
  return stages;
}

void LocalStages::RemoveSockets() const {
  if (directory_ != nullptr) {
    directory_->Remove();
  }
}

}  // namespace tandem::cli
