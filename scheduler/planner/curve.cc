#include "scheduler/planner/curve.h"

#include <algorithm>
#include <map>

namespace tandem::scheduler {

Curve::Curve(std::vector<std::pair<double, double>> points) {
  std::map<double, std::pair<double, int>> by_size;
  for (const auto& [size, value] : points) {
    auto& [sum, count] = by_size[size];
    sum += value;
    ++count;
  }
  for (const auto& [size, sum_and_count] : by_size) {
    points_.emplace_back(size, sum_and_count.first / sum_and_count.second);
  }
}

double Curve::At(double size) const {
  if (points_.empty()) {
    return 0;
  }
  if (points_.size() == 1 || size <= points_.front().first) {
    return points_.front().second;
  }
  auto high = std::lower_bound(points_.begin(), points_.end(), size,
                               [](const auto& point, double wanted) { return point.first < wanted; });
  if (high == points_.end()) {
    --high;
  }
  const auto low = std::prev(high);
  const double slope = (high->second - low->second) / (high->first - low->first);
  return std::max(low->second + slope * (size - low->first), 0.0);
}

}  // namespace tandem::scheduler
