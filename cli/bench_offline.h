// tandem bench offline: prefill and decode speed of the engine, without API or tokenizer.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace tandem::cli {

void AddBenchOffline(CLI::App& bench, CommandResult& result);

}  // namespace tandem::cli
