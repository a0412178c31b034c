// tandem bench stages: ways of running pipeline stages, simulated and measured.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace tandem::cli {

void AddBenchStages(CLI::App& bench, CommandResult& result);

}  // namespace tandem::cli
