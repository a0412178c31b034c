#include "cli/model_calibration.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <map>
#include <vector>

#include "base/status.h"
#include "cli/layout_measurement.h"
#include "cli/overlap_rig.h"

namespace tandem::cli {
namespace {

using scheduler::Curve;
using scheduler::MeasuredParts;

constexpr int kBatches[] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64};
constexpr int kLargestBatch = 64;
constexpr int kShortContext = 16;
constexpr int kLongContext = 384;
constexpr int kLongBatches[] = {8, 16, 32};
constexpr int kPrompts[] = {128, 256, 512};
constexpr int kLongestPrompt = 512;
constexpr int kManyWorkers = 3;
constexpr double kNetworkLatency = 1e-3;  // long enough for threads to sleep

using Points = std::vector<std::pair<double, double>>;
using ByBatch = std::map<int, MeasuredStep>;

// Engines of the layouts that are measured.
struct Rigs {
  std::unique_ptr<OverlapRig> one;      // worker, no network
  std::unique_ptr<OverlapRig> inside;   // experts in the router
  std::unique_ptr<OverlapRig> many;     // workers that take turns
  std::unique_ptr<OverlapRig> network;  // one worker behind it
};

absl::StatusOr<Rigs> StartRigs(const std::shared_ptr<const OpenedModel>& opened, const CalibrationOptions& options) {
  ASSIGN_OR_RETURN(OverlapRigOptions rig, SeparateCpus());
  rig.max_sequences = kLargestBatch;
  rig.max_model_len = ContextFor({.batch = kLargestBatch, .context = kLongContext, .steps = StepsFor(1, options.steps)},
                                 rig.max_batch_tokens);
  rig.max_model_len = std::max<int64_t>(rig.max_model_len, kLongestPrompt + 2);
  Rigs rigs;
  ASSIGN_OR_RETURN(rigs.one, OverlapRig::Start(opened, rig));
  rig.num_workers = 0;
  ASSIGN_OR_RETURN(rigs.inside, OverlapRig::Start(opened, rig));
  rig.num_workers = kManyWorkers;
  ASSIGN_OR_RETURN(rigs.many, OverlapRig::Start(opened, rig));
  rig.num_workers = 1;
  rig.network.latency = absl::Seconds(kNetworkLatency);
  ASSIGN_OR_RETURN(rigs.network, OverlapRig::Start(opened, rig));
  return rigs;
}

// Everything that is measured, in one row: rounds go through all of it, so that a slow minute of the machine touches
// all. Between what is measured stands the reference: seconds are multiples of its steps, the mean of those before and
// after, but for steps over a network, most of which no slow machine makes longer.
struct Samples {
  std::map<int, std::vector<MeasuredStep>> one, inside, many, network, long_context, prompts;
  std::vector<MeasuredStep> reference;
};

class Round {
 public:
  Round(Rigs& rigs, int steps, Samples& samples) : rigs_(rigs), steps_(steps), samples_(samples) {}

  absl::Status Measure() {
    RETURN_IF_ERROR(MeasureReference());
    for (const int batch : kBatches) {
      RETURN_IF_ERROR(Decode(*rigs_.one, batch, kShortContext, samples_.one));
      RETURN_IF_ERROR(Decode(*rigs_.inside, batch, kShortContext, samples_.inside));
      RETURN_IF_ERROR(Decode(*rigs_.many, batch, kShortContext, samples_.many));
      RETURN_IF_ERROR(MeasureReference());
      RETURN_IF_ERROR(Decode(*rigs_.network, batch, kShortContext, samples_.network));
      relative_.clear();
    }
    for (const int batch : kLongBatches) {
      RETURN_IF_ERROR(Decode(*rigs_.one, batch, kLongContext, samples_.long_context));
    }
    for (const int tokens : kPrompts) {
      ASSIGN_OR_RETURN(samples_.prompts[tokens].emplace_back(), MeasurePrefill(rigs_.one->engine(), tokens));
      relative_.push_back(&samples_.prompts[tokens].back());
    }
    return MeasureReference();
  }

 private:
  absl::Status Decode(OverlapRig& rig, int batch, int context, std::map<int, std::vector<MeasuredStep>>& into) {
    const LayoutRun run = {.batch = batch, .context = context, .steps = StepsFor(batch, steps_)};
    ASSIGN_OR_RETURN(into[batch].emplace_back(), MeasureLayout(rig.engine(), run));
    relative_.push_back(&into[batch].back());
    return absl::OkStatus();
  }

  // Also ends what has been measured since the last time.
  absl::Status MeasureReference() {
    ASSIGN_OR_RETURN(const MeasuredStep reference, MeasureLayout(rigs_.one->engine(), ReferenceLayout(4 * steps_)));
    for (MeasuredStep* step : relative_) {
      *step = Scaled(*step, 2 / (samples_.reference.back().step + reference.step));
    }
    relative_.clear();
    samples_.reference.push_back(reference);
    return absl::OkStatus();
  }

  Rigs& rigs_;
  const int steps_;
  Samples& samples_;
  std::vector<MeasuredStep*> relative_;  // measured since the last reference; at the end of their vectors
};

// In seconds: `unit` times what the samples say.
ByBatch Medians(const std::map<int, std::vector<MeasuredStep>>& samples, double unit) {
  ByBatch medians;
  for (const auto& [batch, steps] : samples) {
    medians[batch] = Scaled(MedianOf(steps), unit);
  }
  return medians;
}

// From the medians of all rounds to parts of one layer.
class Fit {
 public:
  Fit(const Samples& samples, int layers, int moe_layers)
      : reference_(MedianOf(samples.reference).step),
        one_(Medians(samples.one, reference_)),
        inside_(Medians(samples.inside, reference_)),
        many_(Medians(samples.many, reference_)),
        network_(Medians(samples.network, 1)),
        long_context_(Medians(samples.long_context, reference_)),
        prompts_(Medians(samples.prompts, reference_)),
        layers_(layers),
        moe_layers_(std::max(moe_layers, 1)) {
    parts_.reference_step = reference_;
  }

  MeasuredParts Parts() {
    FitPositions();
    parts_.router = Decoding([&](int batch, const MeasuredStep& step) { return RouterLayer(batch, step); });
    parts_.shared = Decoding([&](int, const MeasuredStep& step) { return step.shared / moe_layers_; });
    parts_.head = Decoding([](int, const MeasuredStep& step) { return step.head; });
    parts_.step = Decoding([](int, const MeasuredStep& step) { return step.rest; });
    FitExperts();
    FitNetwork();
    parts_.router_frame = Decoding([&](int batch, const MeasuredStep& step) {
      return (many_.at(batch).router - step.router) / layers_ / (kManyWorkers - 1);
    });
    parts_.worker_frame = Decoding(
        [&](int batch, const MeasuredStep& step) { return (Away(many_.at(batch)) - Away(step)) / (kManyWorkers - 1); });
    AddPrompts();
    return parts_;
  }

 private:
  // Of one dispatch: from the router's sending to its going on. It computes the shared expert meanwhile.
  double Away(const MeasuredStep& step) const { return (step.wait + step.shared) / moe_layers_; }

  double RouterLayer(int batch, const MeasuredStep& step) const {
    return step.router / layers_ - batch * step.positions * parts_.decode_position;
  }

  // Experts inside the router never sleep: what a worker takes longer is waking up, apart from handing over, which is
  // measured on steps so short that nobody sleeps.
  void FitExperts() {
    parts_.inline_experts = Decoding([&](int batch, const MeasuredStep& step) {
      const MeasuredStep& inside = inside_.at(batch);
      return (inside.router + inside.wait - step.router) / moe_layers_;
    });
    parts_.experts = parts_.inline_experts;
    const double awake = std::max(Away(one_.at(1)) - one_.at(1).expert / moe_layers_, 0.0);
    parts_.hand_off = Curve::Constant(awake);
    parts_.wake_up =
        Decoding([&](int batch, const MeasuredStep& step) { return Away(step) - parts_.experts.At(batch) - awake; });
  }

  void FitNetwork() {
    parts_.network_router =
        Decoding([&](int batch, const MeasuredStep&) { return RouterLayer(batch, network_.at(batch)); });
    parts_.network_experts =
        Decoding([&](int batch, const MeasuredStep&) { return network_.at(batch).expert / moe_layers_; });
    parts_.network_hand_off = Decoding([&](int batch, const MeasuredStep&) {
      return Away(network_.at(batch)) - network_.at(batch).expert / moe_layers_ - 2 * kNetworkLatency;
    });
  }

  void FitPositions() {
    std::vector<double> slopes;
    for (const auto& [batch, far] : long_context_) {
      const MeasuredStep& near = one_.at(batch);
      slopes.push_back((far.router - near.router) / layers_ / (batch * (far.positions - near.positions)));
    }
    std::sort(slopes.begin(), slopes.end());
    parts_.decode_position = std::max(slopes[slopes.size() / 2], 0.0);
  }

  Curve Decoding(const std::function<double(int, const MeasuredStep&)>& value) const {
    Points points;
    for (const auto& [batch, step] : one_) {
      points.emplace_back(batch, std::max(value(batch, step), 0.0));
    }
    return Curve(std::move(points));
  }

  // Prompts of n rows attend to n (n + 1) / 2 positions: what grows with the square is theirs, the rest is the
  // router's.
  void AddPrompts() {
    const auto per_layer = [&](int tokens) { return prompts_.at(tokens).router / layers_; };
    const double square = per_layer(512) - 2 * per_layer(256) + parts_.router.At(1);
    parts_.prompt_position = std::max(square / (512.0 * 513 / 2 - 2 * (256.0 * 257 / 2)), 0.0);
    Points router, experts, shared;
    for (const auto& [tokens, step] : prompts_) {
      router.emplace_back(tokens, std::max(per_layer(tokens) - tokens * step.positions * parts_.prompt_position, 0.0));
      experts.emplace_back(tokens, step.expert / moe_layers_);
      shared.emplace_back(tokens, step.shared / moe_layers_);
    }
    Extend(router, {&parts_.router, &parts_.network_router});
    Extend(experts, {&parts_.experts, &parts_.inline_experts, &parts_.network_experts});
    Extend(shared, {&parts_.shared});
  }

  static void Extend(const Points& more, std::initializer_list<Curve*> curves) {
    for (Curve* curve : curves) {
      Points points = curve->points();
      points.insert(points.end(), more.begin(), more.end());
      *curve = Curve(std::move(points));
    }
  }

  const double reference_;
  const ByBatch one_, inside_, many_, network_, long_context_, prompts_;
  const double layers_;
  const double moe_layers_;
  MeasuredParts parts_;
};

}  // namespace

absl::StatusOr<MeasuredParts> CalibrateModel(const std::shared_ptr<const OpenedModel>& opened,
                                             const CalibrationOptions& options) {
  ASSIGN_OR_RETURN(Rigs rigs, StartRigs(opened, options));
  Samples warm_up;
  RETURN_IF_ERROR(Round(rigs, 4, warm_up).Measure());
  Samples samples;
  for (int round = 0; round < options.rounds; ++round) {
    RETURN_IF_ERROR(Round(rigs, options.steps, samples).Measure());
  }
  const model::ModelSpec& spec = opened->config.spec;
  return Fit(samples, spec.num_layers(), static_cast<int>(spec.moe_layers().size())).Parts();
}

}  // namespace tandem::cli
