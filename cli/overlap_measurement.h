// Measurements of `tandem bench overlap`: decoding steps with a given cut, and what they say about hidden communication.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "router/engine.h"

namespace tandem::cli {

inline constexpr int kAutoMicroBatches = 0;

// Means over the steps of a run, in seconds.
struct StepTimes {
  double micro_batches = 0;
  double step = 0;  // forward pass without lm_head
  double router = 0;
  double expert_wait = 0;
  double wire_wait = 0;
  double stage_wait = 0;
  double bubble = 0;
  double expert = 0;  // workers computing, hidden or not
  double wire = 0;    // all communication, hidden or not
};

struct DecodeRun {
  int batch = 0;  // sequences
  int context = 1;  // prompt tokens of each, at most 1 fewer than the engine takes
  int steps = 0;
};

// Decodes `run.batch` sequences at a time and measures from the moment on at which all of them have their first token.
// Errors: those of Submit.
absl::StatusOr<StepTimes> MeasureDecode(router::Engine& engine, const DecodeRun& run, int micro_batches);

// A run over a network beside the same one without a network.
struct OverlapFigures {
  double ideal = 0;     // seconds; scheduler::UniformStep with the costs of the run without a network
  double hidden = 0;    // share of the communication that did not prolong the step
  double hideable = 0;  // share that a perfect pipeline with these costs hides
};
OverlapFigures Compare(const StepTimes& with_network, const StepTimes& without, double latency, int layers);

}  // namespace tandem::cli
