#include "scheduler/overlap_bound.h"

#include <algorithm>

namespace tandem::scheduler {

// A round takes either as long as the busier resource needs for all micro-batches, or as one of them needs for itself.
double UniformStep::Seconds() const {
  const double busier = std::max(router, expert);
  const double round_trip = router + expert + 2 * wire;
  return (layers - 1) * std::max(micro_batches * busier, round_trip) + round_trip + (micro_batches - 1) * busier;
}

double UniformStep::HideableShare() const {
  if (Communication() <= 0) {
    return 0;
  }
  UniformStep free = *this;
  free.wire = 0;
  return 1 - (Seconds() - free.Seconds()) / Communication();
}

}  // namespace tandem::scheduler
