// What this machine's cores and memory can do through the CPU backend: what its hardware profile says.
#pragma once

#include <vector>

#include "absl/status/statusor.h"

namespace tandem::cli {

struct MachineSpeed {
  int threads = 0;
  double memory_bandwidth = 0;  // bytes/s of a bf16 matrix, larger than caches, applied to one row
  double operations_bf16 = 0;   // per second: bf16 weights, 512 rows
  double operations_f32 = 0;
  double call = 0;  // seconds of a call with next to nothing to do
};

// The best of `rounds`. Errors: RESOURCE_EXHAUSTED.
absl::StatusOr<MachineSpeed> MeasureMachine(int threads, int rounds);

}  // namespace tandem::cli
