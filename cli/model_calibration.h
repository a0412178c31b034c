// What the parts of a model's step take on this machine, as the planner wants to know it. Measured on a router and
// workers on separate CPUs, from a few layouts: these are the calibration points of docs/planning.md.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "cli/opened_model.h"
#include "scheduler/planner/profiles.h"

namespace tandem::cli {

struct CalibrationOptions {
  int rounds = 5;  // of every measurement; the median counts
  int steps = 12;  // of each
};

// Takes about a minute for a small model. Errors: those of loading; FAILED_PRECONDITION with fewer than two CPUs.
absl::StatusOr<scheduler::MeasuredParts> CalibrateModel(const std::shared_ptr<const OpenedModel>& opened,
                                                        const CalibrationOptions& options);

}  // namespace tandem::cli
