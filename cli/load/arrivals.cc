#include "cli/load/arrivals.h"

#include <cmath>

namespace tandem::cli {

absl::Duration PoissonArrivals::Next() {
  // Exponential gaps by inversion: the standard library's distributions differ between implementations.
  const double uniform = static_cast<double>(random_() >> 11) * 0x1p-53;  // [0, 1)
  seconds_ += -std::log1p(-uniform) / rate_;
  return absl::Seconds(seconds_);
}

}  // namespace tandem::cli
