#include "cli/overlap_measurement.h"

#include <cmath>
#include <memory>
#include <random>

#include "absl/synchronization/blocking_counter.h"
#include "base/status.h"
#include "scheduler/overlap_bound.h"

namespace tandem::cli {
namespace {

// Counts the sequences that got a first token, and those that are done.
struct Progress {
  explicit Progress(int sequences) : started(sequences), finished(sequences) {}
  absl::BlockingCounter started;
  absl::BlockingCounter finished;
};

StepTimes Between(const router::EngineStats& before, const router::EngineStats& after) {
  const auto n = static_cast<double>(after.steps - before.steps);
  StepTimes times;
  times.micro_batches = static_cast<double>(after.micro_batches - before.micro_batches) / n;
  times.router =
      (after.router_seconds - before.router_seconds + after.shared_seconds - before.shared_seconds) / n;
  times.expert_wait = (after.expert_wait_seconds - before.expert_wait_seconds) / n;
  times.wire_wait = (after.wire_wait_seconds - before.wire_wait_seconds) / n;
  times.bubble = (after.bubble_seconds - before.bubble_seconds) / n;
  times.expert = (after.expert_seconds - before.expert_seconds) / n;
  times.wire = (after.wire_seconds - before.wire_seconds) / n;
  times.stage_wait = (after.stage_wait_seconds - before.stage_wait_seconds) / n;
  times.step = times.router + times.expert_wait + times.wire_wait + times.bubble + times.stage_wait;
  return times;
}

}  // namespace

absl::StatusOr<StepTimes> MeasureDecode(router::Engine& engine, const DecodeRun& run, int micro_batches) {
  engine.SetMicroBatches(micro_batches);
  std::mt19937_64 random(1);
  const auto progress = std::make_shared<Progress>(run.batch);
  for (int i = 0; i < run.batch; ++i) {
    router::GenerationRequest request;
    for (int position = 0; position < run.context; ++position) {
      request.prompt.push_back(static_cast<int32_t>(random() % engine.vocab_size()));
    }
    request.sampling.temperature = 0;
    request.sampling.ignore_eos = true;
    request.sampling.max_tokens = run.steps;
    const auto id = engine.Submit(std::move(request), [progress, first = true](const router::TokenEvent& event) mutable {
      if (std::exchange(first, false)) {
        progress->started.DecrementCount();
      }
      if (event.finish_reason != router::FinishReason::kNone) {
        progress->finished.DecrementCount();
      }
    });
    RETURN_IF_ERROR(id.status());
  }
  progress->started.Wait();
  const router::EngineStats before = engine.Stats();
  progress->finished.Wait();
  return Between(before, engine.Stats());
}

OverlapFigures Compare(const StepTimes& with_network, const StepTimes& without, double latency, int layers) {
  scheduler::UniformStep step = {.layers = layers, .micro_batches = static_cast<int>(std::lround(without.micro_batches))};
  const double visits = static_cast<double>(layers) * step.micro_batches;
  step.router = without.router / visits;
  step.expert = without.expert / visits;
  step.wire = latency;
  OverlapFigures figures;
  figures.ideal = step.Seconds();
  figures.hideable = step.HideableShare();
  if (latency > 0) {
    figures.hidden = 1 - (with_network.step - without.step) / step.Communication();
  }
  return figures;
}

}  // namespace tandem::cli
