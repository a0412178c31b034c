// What sampling needs of long rows of logits, vectorised, on the host. Deterministic: the same bits whatever the vector
// width. NaN counts as -infinity. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace tandem::compute {

// Index of the largest element, the lowest among equals; 0 when there is none above -infinity.
int32_t ArgMax(absl::Span<const float> logits);

// log(Σ exp(logits[i])); -infinity when nothing is above that.
double LogSumExp(absl::Span<const float> logits);

// Unnormalised probabilities of a row, with partial sums for drawing from it. Reusable: keeps its memory.
class Weights {
 public:
  // weight(i) = exp((logits[i] - shift) · scale), 0 for -infinity. Every weight should be at most 1 or so: shift is the
  // largest logit.
  void Assign(absl::Span<const float> logits, float shift, float scale);

  absl::Span<const float> values() const { return {values_.data(), size_}; }
  double total() const { return total_; }

  // The index i at which Σ_{j ≤ i} weight(j) first exceeds `uniform` · total; uniform in [0, 1). Never an index of
  // weight 0, unless all are.
  int32_t Draw(double uniform) const;

 private:
  static constexpr size_t kBlock = 256;

  std::vector<float> values_;
  std::vector<double> sums_;  // of each kBlock weights
  size_t size_ = 0;
  double total_ = 0;
};

}  // namespace tandem::compute
