#include "cli/stage_flags.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace tandem::cli {

void AddPipelineStagesFlag(CLI::App& app, StageFlags& flags) {
  app.add_option("--pipeline-stages", flags.pipeline_stages, "Router processes among which the layers are divided")
      ->check(CLI::Range(1, 64))
      ->capture_default_str()
      ->group("Pipeline stages");
}

void AddStagePolicyFlag(CLI::App& app, StageFlags& flags) {
  app.add_option("--stage-policy", flags.policy,
                 "one-way: micro-batches go from the head to the last stage; dualpipe: from both ends, and every stage "
                 "holds two ranges of layers")
      ->check(CLI::IsMember({"one-way", "dualpipe"}))
      ->capture_default_str()
      ->group("Pipeline stages");
}

void AddStageTimeoutFlag(CLI::App& app, StageFlags& flags) {
  app.add_option("--stage-timeout", flags.timeout_seconds, "Seconds that the other stages may take for a step")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str()
      ->group("Pipeline stages");
}

absl::StatusOr<StagePlan> PlanOfHead(const StageFlags& flags, int num_layers) {
  if (flags.pipeline_stages > num_layers) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model has ", num_layers, " layers, too few for ", flags.pipeline_stages, " pipeline stages"));
  }
  StagePlan plan;
  plan.layout = {
      .num_stages = flags.pipeline_stages,
      .num_layers = num_layers,
      .policy = flags.policy == "dualpipe" ? scheduler::StagePolicy::kDualPipe : scheduler::StagePolicy::kOneWay};
  plan.timeout = absl::Seconds(flags.timeout_seconds);
  return plan;
}

absl::StatusOr<StagePlan> PlanOfRouter(const StageFlags& flags, int num_layers) {
  StageFlags counted = flags;
  int stage = 0;
  if (!flags.stage.empty()) {
    const std::vector<std::string> parts = absl::StrSplit(flags.stage, '/');
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &stage) ||
        !absl::SimpleAtoi(parts[1], &counted.pipeline_stages) || stage < 0 || stage >= counted.pipeline_stages) {
      return absl::InvalidArgumentError(
          absl::StrCat("--stage ", flags.stage, ": give K/S, stage K of S, counted from 0, the head (0/2, 1/2)"));
    }
  }
  ASSIGN_OR_RETURN(StagePlan plan, PlanOfHead(counted, num_layers));
  plan.stage = stage;
  plan.next_stage = flags.next_stage;
  const bool last = stage + 1 == plan.layout.num_stages;
  if (last != flags.next_stage.empty()) {
    return absl::InvalidArgumentError(last ? "the last stage has no --next-stage"
                                           : absl::StrCat("stage ", flags.stage, " needs --next-stage HOST:PORT"));
  }
  return plan;
}

}  // namespace tandem::cli
