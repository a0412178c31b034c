#include "scheduler/overlap_bound.h"

#include <algorithm>
#include <limits>

namespace tandem::scheduler {

// The longest of: what the router has to do, by itself and before the last answer can come; what the workers have to do
// between the first frame's arrival and the last answer's; each micro-batch's own way, behind those that begin before
// it; the workers' last layer, behind the way that leads there first.
double IdealStep::Seconds() const {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  double router = 0;
  double router_and_shared = 0;
  double expert = 0;
  double first_dispatch = kNever;  // in the first layer
  double last_layers_dispatch = kNever;
  double least_trip = kNever;
  double least_wire = kNever;
  double least_shared = kNever;
  double longest = 0;
  for (const LayerCost& cost : micro_batches) {
    const double trip = cost.expert + 2 * cost.wire;
    const double layer = cost.router + std::max(cost.shared, trip);
    longest = std::max(longest, router + layers * layer);  // `router`: of those before it
    router += cost.router;
    router_and_shared += cost.router + cost.shared;
    expert += cost.expert;
    first_dispatch = std::min(first_dispatch, cost.router);
    last_layers_dispatch = std::min(last_layers_dispatch, (layers - 1) * layer + cost.router);
    least_trip = std::min(least_trip, trip);
    least_wire = std::min(least_wire, cost.wire);
    least_shared = std::min(least_shared, cost.shared);
  }
  return std::max({longest, layers * router_and_shared, layers * router + least_trip,
                   first_dispatch + layers * expert + 2 * least_wire,
                   last_layers_dispatch + std::max(least_shared, expert + 2 * least_wire)});
}

double IdealStep::Communication() const {
  double wire = 0;
  for (const LayerCost& cost : micro_batches) {
    wire += cost.wire;
  }
  return 2 * wire * layers;
}

double IdealStep::HideableShare() const {
  if (Communication() <= 0) {
    return 0;
  }
  IdealStep free = *this;
  for (LayerCost& cost : free.micro_batches) {
    cost.wire = 0;
  }
  return 1 - (Seconds() - free.Seconds()) / Communication();
}

}  // namespace tandem::scheduler
