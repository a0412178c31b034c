// tandem bench timeline: a trace of prefill and decode together.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace tandem::cli {

void AddBenchTimeline(CLI::App& bench, CommandResult& result);

}  // namespace tandem::cli
