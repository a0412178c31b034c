// Which pipeline stage a router process is.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/stage_layout.h"

namespace tandem::cli {

struct StageFlags {
  int pipeline_stages = 1;  // serve
  std::string stage;        // router: "K/S"
  std::string policy = "one-way";
  std::string next_stage;  // address
  int timeout_seconds = 60;
};

// What the flags say of one process.
struct StagePlan {
  scheduler::StageLayout layout;
  int stage = 0;
  std::string next_stage;  // empty for the last one
  absl::Duration timeout = absl::Seconds(60);

  bool single() const { return layout.num_stages == 1; }
};

void AddPipelineStagesFlag(CLI::App& app, StageFlags& flags);
void AddStagePolicyFlag(CLI::App& app, StageFlags& flags);
void AddStageTimeoutFlag(CLI::App& app, StageFlags& flags);

// Of a router by hand. Errors: INVALID_ARGUMENT for what is not K/S or does not fit the model or the other flags.
absl::StatusOr<StagePlan> PlanOfRouter(const StageFlags& flags, int num_layers);

// Of the head of a service on this machine. Errors: INVALID_ARGUMENT for more stages than layers.
absl::StatusOr<StagePlan> PlanOfHead(const StageFlags& flags, int num_layers);

}  // namespace tandem::cli
