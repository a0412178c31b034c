// tandem bench hardware: a profile of this machine for `tandem plan`.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace tandem::cli {

void AddBenchHardware(CLI::App& bench, CommandResult& result);

}  // namespace tandem::cli
