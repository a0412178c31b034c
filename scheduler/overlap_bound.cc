#include "scheduler/overlap_bound.h"

#include <algorithm>

namespace tandem::scheduler {

// The longest of: what the router has to do, by itself and before the last answer can come; what the workers have to do
// between the first frame's arrival and the last answer's; one micro-batch's way, behind the others at its begin or at
// its end.
double UniformStep::Seconds() const {
  const double visits = static_cast<double>(layers) * micro_batches;
  const double away = std::max(shared, expert + 2 * wire);
  const double others = micro_batches - 1;
  return std::max({visits * (router + shared), visits * router + expert + 2 * wire, router + visits * expert + 2 * wire,
                   layers * (router + away) + others * router,
                   (layers - 1) * (router + away) + router + std::max(shared, micro_batches * expert + 2 * wire)});
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
