// How long a step takes: the real Pipeline, driven by computed events instead of real ones.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "scheduler/cost_model.h"
#include "scheduler/pipeline.h"

namespace tandem::scheduler {

struct SimulatedStep {
  double seconds = 0;
  double router_busy = 0;
  double workers_busy = 0;
};

// One router, one set of workers that takes micro-batches in the order in which they arrive, and a wire between them that
// any number of frames cross at a time. `costs[i]` holds for every layer with experts of micro-batch i; layers without
// cost the router's part.
SimulatedStep SimulateStep(const PipelineShape& shape, const std::vector<bool>& follows,
                           absl::Span<const LayerCost> costs);

}  // namespace tandem::scheduler
