// --keep-awake: whether CPUs spin instead of halting while a process computes (base/awake_cpus.h).
#pragma once

#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "base/awake_cpus.h"

namespace tandem::cli {

void AddKeepAwakeFlag(CLI::App& app, std::string& value);  // "auto", "on", "off"

// What "auto" comes to for a process with so many compute threads (0: one per CPU): on where they have all CPUs, and no limit
// on CPU time would be used up by spinning.
bool KeepsAwake(const std::string& value, int threads);

// Null where CPUs are not kept awake.
std::unique_ptr<AwakeCpus> MakeAwakeCpus(const std::string& value, int threads);

}  // namespace tandem::cli
