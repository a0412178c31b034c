// tandem bench overlap: communication hidden behind computation.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace tandem::cli {

void AddBenchOverlap(CLI::App& bench, CommandResult& result);

}  // namespace tandem::cli
