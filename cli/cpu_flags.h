// Which CPUs a process runs on (--cpus), and whether they spin instead of halting while it computes (--keep-awake,
// base/awake_cpus.h).
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/awake_cpus.h"

namespace tandem::cli {

// A list of CPUs as in "0-3,8", checked when the command line is read.
CLI::Option* AddCpusFlag(CLI::App& app, const char* name, std::string& value, const char* help);

// To be called before the process has other threads. Nothing for an empty list. Errors: INVALID_ARGUMENT.
absl::Status RunOnCpus(const std::string& cpus);

// The share of one of `workers` workers in a list of CPUs: as many as the others have, or all where there are too few.
std::string CpusOfWorker(const std::string& cpus, int worker, int workers);

// True where both lists are given and have no CPU in common.
bool DisjointCpus(const std::string& a, const std::string& b);

void AddKeepAwakeFlag(CLI::App& app, std::string& value);  // "auto", "on", "off"

// What "auto" comes to for a process with so many compute threads (0: one per CPU): on where they have all CPUs, and no
// limit on CPU time would be used up by spinning.
bool KeepsAwake(const std::string& value, int threads);

// Null where CPUs are not kept awake.
std::unique_ptr<AwakeCpus> MakeAwakeCpus(const std::string& value, int threads);

}  // namespace tandem::cli
