// Process-wide logging to stderr. LOG lines are for operators: what happened, where, what to do.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tandem {

enum class LogFormat { kText, kJson };

// Call once at start-up, before threads log. `component` ("router", "expert-worker", …) marks every line.
// Errors: INVALID_ARGUMENT for an unknown level (trace, debug, info, warning, error, off).
absl::Status InitLogging(absl::string_view component, absl::string_view level, LogFormat format);

}  // namespace tandem
