// How long steps take on a line of pipeline stages: every stage runs the real Pipeline, driven by computed events.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "scheduler/cost_model.h"
#include "scheduler/pipeline.h"
#include "scheduler/stage_layout.h"

namespace tandem::scheduler {

struct SimulatedMicroBatch {
  int direction = 0;
  bool follows = false;  // the one before, of the same direction
  LayerCost cost;        // of each layer; layers without experts cost the router's part
};

struct StageSimulation {
  StageLayout layout;
  PipelineShape shape;            // of the whole model
  int window = 0;                 // micro-batches inside a stage's layers at a time; 0: any number
  double handover = 0;            // seconds that hidden states take to the next stage, and results to the head
  bool workers_of_stage = false;  // every stage has expert workers of its own, instead of all sharing the same
  int steps = 1;
  // A micro-batch begins its next step as soon as it is through the one before; otherwise when all are.
  bool rolling = false;
};

struct SimulatedStages {
  double seconds = 0;               // until the last result is at the head
  std::vector<double> router_busy;  // of each stage
  double workers_busy = 0;          // of all workers
  std::vector<int> most_resident;   // of each stage: micro-batches that it held at a time

  // Share of the routers' time in which they had nothing to do.
  double bubble() const;
};

// Workers take micro-batches in the order in which they were sent; any number of frames cross the wire at a time.
SimulatedStages SimulateStages(const StageSimulation& simulation, absl::Span<const SimulatedMicroBatch> micro_batches);

}  // namespace tandem::scheduler
