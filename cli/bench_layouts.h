// tandem bench layouts: decoding steps of many layouts, each measured next to one reference layout.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace tandem::cli {

void AddBenchLayouts(CLI::App& bench, CommandResult& result);

}  // namespace tandem::cli
