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
// all.
struct Samples {
  std::map<int, std::vector<MeasuredStep>> one, inside, many, network, long_context, prompts;
  std::vector<MeasuredStep> reference;
};

absl::Status MeasureRound(Rigs& rigs, int steps, Samples& samples) {
  const auto decode = [&](OverlapRig& rig, int batch, int context,
                          std::map<int, std::vector<MeasuredStep>>& into) -> absl::Status {
    const LayoutRun run = {.batch = batch, .context = context, .steps = StepsFor(batch, steps)};
    ASSIGN_OR_RETURN(const MeasuredStep step, MeasureLayout(rig.engine(), run));
    into[batch].push_back(step);
    return absl::OkStatus();
  };
  for (const int batch : kBatches) {
    RETURN_IF_ERROR(decode(*rigs.one, batch, kShortContext, samples.one));
    RETURN_IF_ERROR(decode(*rigs.inside, batch, kShortContext, samples.inside));
    RETURN_IF_ERROR(decode(*rigs.many, batch, kShortContext, samples.many));
    RETURN_IF_ERROR(decode(*rigs.network, batch, kShortContext, samples.network));
  }
  for (const int batch : kLongBatches) {
    RETURN_IF_ERROR(decode(*rigs.one, batch, kLongContext, samples.long_context));
  }
  for (const int tokens : kPrompts) {
    ASSIGN_OR_RETURN(const MeasuredStep step, MeasurePrefill(rigs.one->engine(), tokens));
    samples.prompts[tokens].push_back(step);
  }
  ASSIGN_OR_RETURN(const MeasuredStep reference, MeasureLayout(rigs.one->engine(), ReferenceLayout(4 * steps)));
  samples.reference.push_back(reference);
  return absl::OkStatus();
}

ByBatch Medians(const std::map<int, std::vector<MeasuredStep>>& samples) {
  ByBatch medians;
  for (const auto& [batch, steps] : samples) {
    medians[batch] = MedianOf(steps);
  }
  return medians;
}

// From the medians of all rounds to parts of one layer.
class Fit {
 public:
  Fit(const Samples& samples, int layers, int moe_layers)
      : one_(Medians(samples.one)),
        inside_(Medians(samples.inside)),
        many_(Medians(samples.many)),
        network_(Medians(samples.network)),
        long_context_(Medians(samples.long_context)),
        prompts_(Medians(samples.prompts)),
        layers_(layers),
        moe_layers_(std::max(moe_layers, 1)) {
    parts_.reference_step = MedianOf(samples.reference).step;
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
    parts_.inline_experts = Decoding(
        [&](int batch, const MeasuredStep& step) {
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
  RETURN_IF_ERROR(MeasureRound(rigs, 4, warm_up));
  Samples samples;
  for (int round = 0; round < options.rounds; ++round) {
    RETURN_IF_ERROR(MeasureRound(rigs, options.steps, samples));
  }
  const model::ModelSpec& spec = opened->config.spec;
  return Fit(samples, spec.num_layers(), static_cast<int>(spec.moe_layers().size())).Parts();
}

}  // namespace tandem::cli
