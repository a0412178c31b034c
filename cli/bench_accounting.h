// tandem bench accounting: what the engine reports of its time, held against what is known.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace tandem::cli {

void AddBenchAccounting(CLI::App& bench, CommandResult& result);

}  // namespace tandem::cli
