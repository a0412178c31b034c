// Percentiles of measured values.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace tandem::cli {

// All zero when nothing was measured.
struct Distribution {
  int64_t count = 0;
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double max = 0;
};

// The value below which `fraction` (0..1) of `sorted` lies, linear between neighbours. `sorted` is not empty.
double Percentile(absl::Span<const double> sorted, double fraction);

Distribution Describe(std::vector<double> values);

}  // namespace tandem::cli
