// Flags from a file: a YAML or JSON object whose keys are long flag names, for example
//
//   model: models/pocket-dictionary
//   expert-workers: 4
//   max-sequences: 128
//
// A file sets defaults: the environment (TANDEM_…) and the command line win over it.
#pragma once

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace tandem::cli {

// Looks for --config (or TANDEM_CONFIG) in the arguments and applies the file to the subcommand that they name.
// Errors: NOT_FOUND; INVALID_ARGUMENT with file and line for bad YAML, unknown flags (suggesting the nearest) and values
// that a flag does not take.
absl::Status ApplyConfigFile(int argc, char** argv, CLI::App& app);

}  // namespace tandem::cli
