// What a layer costs, learned online from what steps took.
#pragma once

#include <cstdint>
#include <map>

namespace tandem::scheduler {

// Seconds as a function of a size, learned from samples: a moving average for each size class (eight classes to a
// doubling), straight lines between them. Where nothing was seen yet, half of the nearest known cost is taken as fixed
// and half as proportional. A sample far above its average counts less than it says, since most such steps were
// interrupted, but not when many come in a row.
class CostCurve {
 public:
  void Observe(double size, double seconds);
  double At(double size) const;  // 0 before the first sample
  bool empty() const { return points_.empty(); }

 private:
  struct Point {
    double size = 0;
    double seconds = 0;
    int samples = 0;
    int outliers = 0;  // in a row
  };

  std::map<int, Point> points_;  // by size class
};

// Of one micro-batch: what decides its cost.
struct MicroBatchLoad {
  int64_t tokens = 0;
  bool has_prompt = false;  // prompt chunks are bound by computing, decodes by reading weights and cache
};

// One layer of a micro-batch, in seconds.
struct LayerCost {
  double router = 0;  // combine of the layer before, attention, gate, dispatch
  double shared = 0;  // shared expert on the router
  double expert = 0;  // on the workers
  double wire = 0;    // one way

  LayerCost& operator+=(const LayerCost& other) {
    router += other.router;
    shared += other.shared;
    expert += other.expert;
    wire += other.wire;
    return *this;
  }
  LayerCost operator*(double factor) const {
    return {router * factor, shared * factor, expert * factor, wire * factor};
  }
};

// For layers with experts; the few dense layers count as if they were some of them.
class CostModel {
 public:
  void Observe(const MicroBatchLoad& load, const LayerCost& cost);
  LayerCost Predict(const MicroBatchLoad& load) const;
  bool empty() const { return curves_[0].router.empty() && curves_[1].router.empty(); }

 private:
  struct Curves {
    CostCurve router;
    CostCurve shared;
    CostCurve expert;
    CostCurve wire;
  };

  Curves curves_[2];  // without and with prompt tokens
};

}  // namespace tandem::scheduler
