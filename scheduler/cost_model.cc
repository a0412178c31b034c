#include "scheduler/cost_model.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace tandem::scheduler {
namespace {

constexpr double kClassesPerDoubling = 8;
constexpr int kMemory = 16;        // samples that an average is made of
constexpr double kOutlier = 1.5;   // times the average, the most that a sample counts
constexpr int kMostOutliers = 16;  // in a row; then they are what it costs now

int ClassOf(double size) { return static_cast<int>(std::lround(kClassesPerDoubling * std::log2(std::max(size, 1.0)))); }

}  // namespace

void CostCurve::Observe(double size, double seconds) {
  Point& point = points_[ClassOf(size)];
  const double most = kOutlier * point.seconds;
  point.outliers = point.samples > 0 && seconds > most ? point.outliers + 1 : 0;
  if (point.outliers > 0 && point.outliers <= kMostOutliers) {
    seconds = most;
  }
  point.samples = std::min(point.samples + 1, kMemory);
  point.size += (size - point.size) / point.samples;
  point.seconds += (seconds - point.seconds) / point.samples;
}

double CostCurve::At(double size) const {
  if (points_.empty()) {
    return 0;
  }
  const auto extrapolate = [size](const Point& known) { return known.seconds * (0.5 + 0.5 * size / known.size); };
  const auto above = points_.lower_bound(ClassOf(size));
  if (above == points_.end()) {
    return extrapolate(std::prev(above)->second);
  }
  if (above == points_.begin() || above->first == ClassOf(size)) {
    return above->first == ClassOf(size) ? above->second.seconds : extrapolate(above->second);
  }
  const Point& high = above->second;
  const Point& low = std::prev(above)->second;
  return low.seconds + (high.seconds - low.seconds) * (size - low.size) / (high.size - low.size);
}

void CostModel::Observe(const MicroBatchLoad& load, const LayerCost& cost) {
  Curves& curves = curves_[load.has_prompt ? 1 : 0];
  const auto tokens = static_cast<double>(load.tokens);
  curves.router.Observe(tokens, cost.router);
  curves.shared.Observe(tokens, cost.shared);
  curves.expert.Observe(tokens, cost.expert);
  curves.wire.Observe(tokens, cost.wire);
}

LayerCost CostModel::Predict(const MicroBatchLoad& load) const {
  const Curves& own = curves_[load.has_prompt ? 1 : 0];
  const Curves& curves = own.router.empty() ? curves_[load.has_prompt ? 0 : 1] : own;
  const auto tokens = static_cast<double>(load.tokens);
  return {.router = curves.router.At(tokens),
          .shared = curves.shared.At(tokens),
          .expert = curves.expert.At(tokens),
          .wire = curves.wire.At(tokens)};
}

}  // namespace tandem::scheduler
