// What a perfect pipeline would reach: the bound that measured steps are held against.
//
// MegaScale-Infer (arXiv:2504.02263), section 4.1, extended to cuts that do not fill the pipe and to micro-batches that
// are not alike: the first one of a layer, which fetches weights that the others find in a cache, often takes twice as
// long.
#pragma once

#include <vector>

#include "scheduler/cost_model.h"

namespace tandem::scheduler {

struct IdealStep {
  int layers = 0;                        // with experts
  std::vector<LayerCost> micro_batches;  // seconds in one layer, in the order in which they begin; not empty
  // `router` is without the shared expert, which is computed while the micro-batch is away.

  // Two resources that each take one micro-batch at a time; the wire takes any number. Never negative.
  double Seconds() const;

  // Of all communication (both ways of every micro-batch in every layer), the share that does not prolong the step:
  // 1 - (Seconds() - Seconds() over a free wire) / communication. 0 when there is none.
  double HideableShare() const;

  double Communication() const;
};

}  // namespace tandem::scheduler
