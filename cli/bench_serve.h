// tandem bench serve: puts a running server under load and reports latencies and throughput.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace tandem::cli {

void AddBenchServe(CLI::App& bench, CommandResult& result);

}  // namespace tandem::cli
