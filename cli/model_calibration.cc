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
constexpr int kHalves[] = {1, 2, 4, 8, 16, 32};  // micro-batches of batches that are cut in two
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
  std::map<int, std::vector<MeasuredStep>> one_cut;  // in two, by the size of a half
  std::vector<MeasuredStep> reference;               // kWholeReference, unscaled
  std::vector<MeasuredStep> inside_reference, cut_reference;
};

class Round {
 public:
  Round(Rigs& rigs, int steps, Samples& samples) : rigs_(rigs), steps_(steps), samples_(samples) {}

  absl::Status Measure() {
    RETURN_IF_ERROR(MeasureReference());
    for (const int batch : kBatches) {
      RETURN_IF_ERROR(Decode(*rigs_.one, {.batch = batch}, samples_.one[batch]));
      RETURN_IF_ERROR(Decode(*rigs_.inside, {.batch = batch}, samples_.inside[batch]));
      RETURN_IF_ERROR(Decode(*rigs_.many, {.batch = batch}, samples_.many[batch]));
      RETURN_IF_ERROR(MeasureReference());
      RETURN_IF_ERROR(Decode(*rigs_.network, {.batch = batch}, samples_.network[batch]));
      relative_.clear();
    }
    for (const int half : kHalves) {
      const LayoutRun cut{.batch = 2 * half, .micro_batches = 2};
      RETURN_IF_ERROR(Decode(*rigs_.one, cut, samples_.one_cut[half]));
      RETURN_IF_ERROR(MeasureReference());
    }
    for (const int batch : kLongBatches) {
      const LayoutRun run{.batch = batch, .context = kLongContext};
      RETURN_IF_ERROR(Decode(*rigs_.one, run, samples_.long_context[batch]));
    }
    for (const int tokens : kPrompts) {
      ASSIGN_OR_RETURN(samples_.prompts[tokens].emplace_back(), MeasurePrefill(rigs_.one->engine(), tokens));
      relative_.push_back(&samples_.prompts[tokens].back());
    }
    RETURN_IF_ERROR(Decode(*rigs_.inside, kInsideReference.run, samples_.inside_reference));
    RETURN_IF_ERROR(Decode(*rigs_.one, kCutReference.run, samples_.cut_reference));
    return MeasureReference();
  }

 private:
  // With a short context unless `run` has another.
  absl::Status Decode(OverlapRig& rig, LayoutRun run, std::vector<MeasuredStep>& into) {
    run.context = std::max(run.context, kShortContext);
    run.steps = StepsFor(run.batch, steps_);
    ASSIGN_OR_RETURN(into.emplace_back(), MeasureLayout(rig.engine(), run));
    relative_.push_back(&into.back());
    return absl::OkStatus();
  }

  // Also ends what has been measured since the last time.
  absl::Status MeasureReference() {
    LayoutRun run = kWholeReference.run;
    run.steps = 4 * steps_;
    ASSIGN_OR_RETURN(const MeasuredStep reference, MeasureLayout(rigs_.one->engine(), run));
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
        one_cut_(Medians(samples.one_cut, reference_)),
        layers_(layers),
        moe_layers_(std::max(moe_layers, 1)) {
    parts_.reference_step = reference_;
    parts_.inside_reference_step = reference_ * MedianOf(samples.inside_reference).step;
    parts_.cut_reference_step = reference_ * MedianOf(samples.cut_reference).step;
  }

  MeasuredParts Parts() {
    FitPositions();
    parts_.router = Decoding([&](int batch, const MeasuredStep& step) { return RouterLayer(batch, step); });
    parts_.shared = Decoding([&](int, const MeasuredStep& step) { return step.shared / moe_layers_; });
    parts_.head = Decoding([](int, const MeasuredStep& step) { return step.head; });
    parts_.step = Decoding([](int, const MeasuredStep& step) { return step.rest; });
    FitExperts();
    FitNetwork();
    // More threads on the workers' side also hold up what the router does between its layers.
    parts_.router_frame = Decoding([&](int batch, const MeasuredStep& step) {
      const MeasuredStep& many = many_.at(batch);
      return (many.router + many.rest - step.router - step.rest) / layers_ / (kManyWorkers - 1);
    });
    parts_.worker_frame = Decoding(
        [&](int batch, const MeasuredStep& step) { return (Away(many_.at(batch)) - Away(step)) / (kManyWorkers - 1); });
    AddPrompts();
    parts_.router_again = RouterAgain(parts_.router, one_cut_);
    parts_.experts_again = ExpertsAgain(parts_.experts, one_cut_);
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

  // What two halves take together, without what the first one takes.
  Curve RouterAgain(const Curve& router, const ByBatch& cut) const {
    return Again(router, cut, [&](int half, const MeasuredStep& step) { return RouterLayer(2 * half, step); });
  }
  Curve ExpertsAgain(const Curve& experts, const ByBatch& cut) const {
    return Again(experts, cut, [&](int, const MeasuredStep& step) { return step.expert / moe_layers_; });
  }
  // Beyond the largest half the difference stays what it is there: reading the weights.
  static Curve Again(const Curve& first, const ByBatch& cut,
                     const std::function<double(int, const MeasuredStep&)>& both_halves) {
    Points points;
    double saved = 0;
    for (const auto& [half, step] : cut) {
      saved = 2 * first.At(half) - both_halves(half, step);
      points.emplace_back(half, std::max(first.At(half) - saved, 0.0));
    }
    for (const auto& [size, seconds] : first.points()) {
      if (size > cut.rbegin()->first) {
        points.emplace_back(size, std::max(seconds - saved, 0.0));
      }
    }
    return Curve(std::move(points));
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
  const ByBatch one_, inside_, many_, network_, long_context_, prompts_, one_cut_;
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
