// The requests of a simulated load, in the order in which they are made. Pure: the same load makes the same requests.
#pragma once

#include <cstdint>

#include "scheduler/planner/load.h"
#include "scheduler/planner/simulated_router.h"

namespace tandem::scheduler {

class SimulatedClients {
 public:
  explicit SimulatedClients(const LoadProfile& load) : load_(load) {}

  // The next request, which arrives at `now`.
  SimulatedRequest Next(double now);
  // The next request in the middle of its answer: places are spread evenly, in an order that has nothing to do with
  // lengths. `index` counts such requests.
  SimulatedRequest NextUnderWay(int index);

  // Which of `routers` the next request goes to: in turn.
  int NextRouter(int routers) const { return static_cast<int>(made_ % static_cast<uint64_t>(routers)); }
  // Seconds until the next request of an open loop.
  double Gap() const { return ArrivalGap(load_, made_); }

 private:
  const LoadProfile load_;
  uint64_t made_ = 0;
};

}  // namespace tandem::scheduler
