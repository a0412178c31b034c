// A cost as a function of a size: straight lines between known points.
#pragma once

#include <utility>
#include <vector>

namespace tandem::scheduler {

// Immutable. Sizes and values are not negative.
class Curve {
 public:
  Curve() = default;
  // `points`: (size, value) in any order; points of one size are averaged. No points: zero everywhere.
  explicit Curve(std::vector<std::pair<double, double>> points);

  static Curve Constant(double value) { return Curve({{1, value}}); }

  // Before the first point: the first value. Beyond the last one: on along the last stretch. A single point is a
  // constant.
  double At(double size) const;

  const std::vector<std::pair<double, double>>& points() const { return points_; }
  bool empty() const { return points_.empty(); }

 private:
  std::vector<std::pair<double, double>> points_;  // ascending by size
};

}  // namespace tandem::scheduler
