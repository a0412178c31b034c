// How subcommands plug into the `tandem` binary. Each lives in one file: its Add function declares flags on the app and
// leaves a callback that runs after parsing.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/status.h"

namespace tandem::cli {

// Exit codes of the contract.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// The parsed command's result; set by the callback of the chosen subcommand.
struct CommandResult {
  absl::Status status;
};

void AddServe(CLI::App& app, CommandResult& result);
void AddRouter(CLI::App& app, CommandResult& result);
void AddExpertWorker(CLI::App& app, CommandResult& result);
void AddGenerate(CLI::App& app, CommandResult& result);
void AddChat(CLI::App& app, CommandResult& result);
void AddInspect(CLI::App& app, CommandResult& result);
void AddBench(CLI::App& app, CommandResult& result);
void AddPlan(CLI::App& app, CommandResult& result);

}  // namespace tandem::cli
