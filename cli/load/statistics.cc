#include "cli/load/statistics.h"

#include <algorithm>
#include <numeric>

#include "base/status.h"

namespace tandem::cli {

double Percentile(absl::Span<const double> sorted, double fraction) {
  TANDEM_CHECK(!sorted.empty());
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Distribution Describe(std::vector<double> values) {
  Distribution result;
  if (values.empty()) {
    return result;
  }
  std::sort(values.begin(), values.end());
  result.count = static_cast<int64_t>(values.size());
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  result.p50 = Percentile(values, 0.50);
  result.p90 = Percentile(values, 0.90);
  result.p99 = Percentile(values, 0.99);
  result.max = values.back();
  return result;
}

}  // namespace tandem::cli
