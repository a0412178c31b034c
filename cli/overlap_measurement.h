// Measurements of `tandem bench overlap` and `bench stages`: decoding steps with a given cut, and what they say about
// hidden communication.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "router/engine.h"

namespace tandem::cli {

inline constexpr int kAutoMicroBatches = 0;

// Means over the steps of a measurement, in seconds.
struct StepTimes {
  double micro_batches = 0;
  double step = 0;  // forward pass without lm_head
  double router = 0;
  double expert_wait = 0;
  double wire_wait = 0;
  double stage_wait = 0;
  double bubble = 0;
  double expert = 0;                         // workers computing, hidden or not
  double wire = 0;                           // all communication, hidden or not
  decltype(router::EngineStats::cuts) cuts;  // divided by all steps, so that their `steps` add up to 1
};

StepTimes Mean(const StepTimes& a, const StepTimes& b);

// Sequences that decode together until the load goes. Cuts and networks that take turns on one load are measured on the
// same sequences within moments of each other, whatever the machine's speed does meanwhile. Used by one thread.
class DecodeLoad {
 public:
  // Submits `batch` sequences with prompts of `context` random tokens and returns when all of them decode. They go on
  // as far as the engine's context reaches. Errors: those of Submit; INTERNAL when a sequence ended.
  static absl::StatusOr<std::unique_ptr<DecodeLoad>> Start(router::Engine& engine, int batch, int context);
  ~DecodeLoad();  // ends the sequences
  DecodeLoad(const DecodeLoad&) = delete;

  // Of at least so many steps cut into `micro_batches` (kAutoMicroBatches: as the engine chooses), not counting the
  // first ones, which may have begun before. Errors: INTERNAL when a sequence ended.
  absl::StatusOr<StepTimes> Measure(int micro_batches, int steps);

 private:
  struct Progress;

  explicit DecodeLoad(router::Engine& engine);
  absl::Status AwaitSteps(int steps);

  router::Engine& engine_;
  const std::shared_ptr<Progress> progress_;
  std::vector<uint64_t> requests_;
};

// A run over a network beside the same one without a network.
struct OverlapFigures {
  // Seconds; scheduler::IdealStep with what computing took over the network: a core that has waited for milliseconds
  // computes more slowly for a while, which is no fault of the pipeline (benchmarks/overlap/waiting_core.cc).
  double ideal = 0;
  double hidden = 0;    // share of the communication that did not prolong the step
  double hideable = 0;  // share that a perfect pipeline with these costs hides
};
OverlapFigures Compare(const StepTimes& with_network, const StepTimes& without, double latency, int layers);

}  // namespace tandem::cli
