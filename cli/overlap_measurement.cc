#include "cli/overlap_measurement.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "scheduler/overlap_bound.h"

namespace tandem::cli {
namespace {

constexpr int kSettle = 2;  // steps

using Cuts = decltype(StepTimes::cuts);

void AddCuts(const Cuts& cuts, double factor, Cuts& to) {
  for (size_t cut = 0; cut < cuts.size(); ++cut) {
    to[cut].steps += cuts[cut].steps * factor;
    for (size_t i = 0; i <= cut; ++i) {
      to[cut].layer_costs[i] += cuts[cut].layer_costs[i] * factor;
    }
  }
}

StepTimes Between(const router::EngineStats& before, const router::EngineStats& after) {
  const auto n = static_cast<double>(after.steps - before.steps);
  StepTimes times;
  times.micro_batches = static_cast<double>(after.micro_batches - before.micro_batches) / n;
  times.router = (after.router_seconds - before.router_seconds + after.shared_seconds - before.shared_seconds) / n;
  times.expert_wait = (after.expert_wait_seconds - before.expert_wait_seconds) / n;
  times.wire_wait = (after.wire_wait_seconds - before.wire_wait_seconds) / n;
  times.bubble = (after.bubble_seconds - before.bubble_seconds) / n;
  times.expert = (after.expert_seconds - before.expert_seconds) / n;
  times.wire = (after.wire_seconds - before.wire_seconds) / n;
  times.stage_wait = (after.stage_wait_seconds - before.stage_wait_seconds) / n;
  AddCuts(after.cuts, 1 / n, times.cuts);
  AddCuts(before.cuts, -1 / n, times.cuts);
  times.step = times.router + times.expert_wait + times.wire_wait + times.bubble + times.stage_wait;
  return times;
}

}  // namespace

StepTimes Mean(const StepTimes& a, const StepTimes& b) {
  StepTimes mean;
  for (const auto part :
       {&StepTimes::micro_batches, &StepTimes::step, &StepTimes::router, &StepTimes::expert_wait, &StepTimes::wire_wait,
        &StepTimes::stage_wait, &StepTimes::bubble, &StepTimes::expert, &StepTimes::wire}) {
    mean.*part = (a.*part + b.*part) / 2;
  }
  AddCuts(a.cuts, 0.5, mean.cuts);
  AddCuts(b.cuts, 0.5, mean.cuts);
  return mean;
}

struct DecodeLoad::Progress {
  absl::Mutex mutex;
  int unstarted ABSL_GUARDED_BY(mutex) = 0;
  int unfinished ABSL_GUARDED_BY(mutex) = 0;
  bool ended ABSL_GUARDED_BY(mutex) = false;  // some sequence has
  int64_t tokens ABSL_GUARDED_BY(mutex) = 0;  // of the first sequence: one a step
};

DecodeLoad::DecodeLoad(router::Engine& engine) : engine_(engine), progress_(std::make_shared<Progress>()) {}

absl::StatusOr<std::unique_ptr<DecodeLoad>> DecodeLoad::Start(router::Engine& engine, int batch, int context) {
  std::unique_ptr<DecodeLoad> load(new DecodeLoad(engine));
  std::mt19937_64 random(1);
  for (int i = 0; i < batch; ++i) {
    router::GenerationRequest request;
    for (int position = 0; position < context; ++position) {
      request.prompt.push_back(static_cast<int32_t>(random() % engine.vocab_size()));
    }
    request.sampling.temperature = 0;
    request.sampling.ignore_eos = true;
    request.sampling.max_tokens = engine.max_model_len();
    {
      absl::MutexLock lock(&load->progress_->mutex);
      ++load->progress_->unstarted;
      ++load->progress_->unfinished;
    }
    const auto id = engine.Submit(
        std::move(request), [progress = load->progress_, i, first = true](const router::TokenEvent& event) mutable {
          absl::MutexLock lock(&progress->mutex);
          progress->unstarted -= std::exchange(first, false) ? 1 : 0;
          progress->tokens += i == 0 ? 1 : 0;
          if (event.finish_reason != router::FinishReason::kNone) {
            --progress->unfinished;
            progress->ended = true;
          }
        });
    if (!id.ok()) {
      absl::MutexLock lock(&load->progress_->mutex);
      --load->progress_->unfinished;  // its sink is never called
      return id.status();
    }
    load->requests_.push_back(*id);
  }
  absl::MutexLock lock(&load->progress_->mutex);
  const auto started = [&progress = *load->progress_]()
                           ABSL_SHARED_LOCKS_REQUIRED(progress.mutex) { return progress.unstarted == 0; };
  load->progress_->mutex.Await(absl::Condition(&started));
  return load;
}

DecodeLoad::~DecodeLoad() {
  for (const uint64_t id : requests_) {
    engine_.Cancel(id);
  }
  absl::MutexLock lock(&progress_->mutex);
  progress_->mutex.Await(absl::Condition(
      +[](int* unfinished) { return *unfinished == 0; }, &progress_->unfinished));
}

absl::Status DecodeLoad::AwaitSteps(int steps) {
  absl::MutexLock lock(&progress_->mutex);
  const int64_t wanted = progress_->tokens + steps;
  const auto reached = [&progress = *progress_, wanted]() ABSL_SHARED_LOCKS_REQUIRED(progress.mutex) {
    return progress.tokens >= wanted || progress.ended;
  };
  progress_->mutex.Await(absl::Condition(&reached));
  return progress_->ended ? absl::InternalError("a sequence ended while it was measured: the context is too short")
                          : absl::OkStatus();
}

absl::StatusOr<StepTimes> DecodeLoad::Measure(int micro_batches, int steps) {
  engine_.SetMicroBatches(micro_batches);
  RETURN_IF_ERROR(AwaitSteps(kSettle));
  const router::EngineStats before = engine_.Stats();
  RETURN_IF_ERROR(AwaitSteps(steps));
  return Between(before, engine_.Stats());
}

namespace {

// Ideal steps of the cuts that were used, each as long as it was used.
struct IdealMix {
  double seconds = 0;
  double communication = 0;
  double hideable = 0;  // of it, in seconds
};

IdealMix IdealOf(const StepTimes& times, double latency, int layers) {
  IdealMix mix;
  for (size_t cut = 0; cut < times.cuts.size(); ++cut) {
    const double share = times.cuts[cut].steps;
    if (share <= 0) {
      continue;
    }
    scheduler::IdealStep step = {.layers = layers};
    for (size_t i = 0; i <= cut; ++i) {
      step.micro_batches.push_back(times.cuts[cut].layer_costs[i] * (1 / share));
      step.micro_batches.back().wire = latency;
    }
    mix.seconds += share * step.Seconds();
    mix.communication += share * step.Communication();
    mix.hideable += share * step.Communication() * step.HideableShare();
  }
  return mix;
}

// What the router does outside of layers with experts.
double Beside(const StepTimes& times, int layers) {
  double inside = 0;
  for (const router::EngineStats::OfCut& cut : times.cuts) {
    for (const scheduler::LayerCost& cost : cut.layer_costs) {
      inside += layers * (cost.router + cost.shared);
    }
  }
  return std::max(times.router - inside, 0.0);
}

}  // namespace

OverlapFigures Compare(const StepTimes& with_network, const StepTimes& without, double latency, int layers) {
  const IdealMix free = IdealOf(without, latency, layers);
  OverlapFigures figures;
  figures.ideal = IdealOf(with_network, latency, layers).seconds + Beside(with_network, layers);
  if (latency > 0) {
    figures.hideable = free.hideable / free.communication;
    figures.hidden = 1 - (with_network.step - without.step) / free.communication;
  }
  return figures;
}

}  // namespace tandem::cli
