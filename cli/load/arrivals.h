// When requests of an open loop come: a Poisson process, independent of how long answers take.
#pragma once

#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace tandem::cli {

// The same rate and seed give the same times on every machine. Not thread-safe.
class PoissonArrivals {
 public:
  // `rate`: requests a second, positive; infinite: all at once.
  PoissonArrivals(double rate, uint64_t seed) : rate_(rate), random_(seed) {}

  // When the next request comes, from the start on; never before the one before.
  absl::Duration Next();

 private:
  const double rate_;
  std::mt19937_64 random_;
  double seconds_ = 0;
};

}  // namespace tandem::cli
