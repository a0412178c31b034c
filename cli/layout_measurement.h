// Decoding steps of an engine, measured whole and in parts: what `tandem bench layouts` and `tandem bench hardware`
// report and `tandem plan` is held against.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "router/engine.h"

namespace tandem::cli {

struct LayoutRun {
  int batch = 1;          // sequences, all decoding at a time
  int context = 1;        // prompt tokens of each
  int steps = 24;         // decoding steps
  int micro_batches = 1;  // 0: chosen for each step
};

// Seconds of a step. `step` is the median over steps; the parts are means, scaled to add up to it.
struct MeasuredStep {
  double step = 0;
  double router = 0;  // embedding, attention, gate, dispatch, combine
  double shared = 0;  // shared experts
  double wait = 0;    // the router had nothing to do
  double expert = 0;  // workers computing, the slowest of every dispatch
  double head = 0;    // last norm, lm_head, sampling
  double rest = 0;    // planning, handing tokens over
  double micro_batches = 0;
  double positions = 0;  // cached positions of a sequence, mean over the steps
};

// All sequences are prefilled first; then come the steps, in which all of them decode; then they are cancelled.
// Sampling draws with fixed seeds, so the same run makes the same tokens. The engine's context must hold `context`,
// `steps`, and the tokens that early sequences make while later ones are prefilled. Errors: those of Submit; INTERNAL
// when it does not.
absl::StatusOr<MeasuredStep> MeasureLayout(router::Engine& engine, const LayoutRun& run);

// The parts of a step that computes one prompt of so many tokens. The engine must take them in one step. `step` and
// `rest` are not measured.
absl::StatusOr<MeasuredStep> MeasurePrefill(router::Engine& engine, int tokens);

// What other layouts are measured next to: the machine's speed of the moment. No network.
struct ReferenceLayout {
  const char* name = "";
  int workers = 1;
  LayoutRun run;
};
// Whoever waits half of the time, as router and worker do in uncut steps, is slowed down by other things than cores
// that never rest. Hence one for each kind of layout.
inline constexpr ReferenceLayout kWholeReference = {"whole", 1, {.batch = 16, .context = 64, .micro_batches = 1}};
inline constexpr ReferenceLayout kInsideReference = {"inside", 0, {.batch = 16, .context = 64, .micro_batches = 1}};
inline constexpr ReferenceLayout kCutReference = {"cut", 1, {.batch = 32, .context = 64, .micro_batches = 2}};

// Steps of small batches are short: more of them, so that a measurement takes a while.
int StepsFor(int batch, int steps);

// A context in which MeasureLayout succeeds, for an engine with steps of at least `max_batch_tokens`.
int64_t ContextFor(const LayoutRun& run, int64_t max_batch_tokens);

// On a machine that takes `factor` times as long for everything.
MeasuredStep Scaled(MeasuredStep step, double factor);

// Of each field by itself, over runs of one kind.
MeasuredStep MedianOf(const std::vector<MeasuredStep>& runs);

}  // namespace tandem::cli
