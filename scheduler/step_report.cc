#include "scheduler/step_report.h"

#include <algorithm>

namespace tandem::scheduler {

absl::Duration Overlap(absl::Span<const TimeSpan> waits, std::vector<TimeSpan> others) {
  std::sort(others.begin(), others.end(), [](const TimeSpan& a, const TimeSpan& b) { return a.begin < b.begin; });
  std::vector<TimeSpan> merged;
  for (const TimeSpan& span : others) {
    if (!merged.empty() && span.begin <= merged.back().end) {
      merged.back().end = std::max(merged.back().end, span.end);
    } else {
      merged.push_back(span);
    }
  }
  absl::Duration total;
  for (const TimeSpan& wait : waits) {
    auto span = std::lower_bound(merged.begin(), merged.end(), wait.begin,
                                 [](const TimeSpan& s, absl::Time begin) { return s.end <= begin; });
    for (; span != merged.end() && span->begin < wait.end; ++span) {
      total += std::min(span->end, wait.end) - std::max(span->begin, wait.begin);
    }
  }
  return total;
}

}  // namespace tandem::scheduler
