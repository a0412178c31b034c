#include "scheduler/planner/part_costs.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace tandem::scheduler {
namespace {

constexpr double kLargestMicroBatch = 1 << 20;
constexpr double kPointsPerDoubling = 4;

// A smooth function as a curve that is exact at its points, a quarter of a doubling apart.
Curve Sample(const std::function<double(double)>& f) {
  std::vector<std::pair<double, double>> points;
  double last = 0;
  for (double exact = 1; exact <= kLargestMicroBatch; exact *= std::exp2(1 / kPointsPerDoubling)) {
    const double tokens = std::round(exact);
    if (tokens > last) {
      points.emplace_back(tokens, f(tokens));
      last = tokens;
    }
  }
  return Curve(std::move(points));
}

Curve Scaled(const Curve& curve, double factor) {
  std::vector<std::pair<double, double>> points = curve.points();
  for (auto& [size, value] : points) {
    value *= factor;
  }
  return Curve(std::move(points));
}

// Matrices of `parameters` that are read once and applied to `rows` rows.
double MatrixSeconds(const DeviceProfile& device, double bytes, double parameters, double rows) {
  const double reading = bytes / (device.memory_bandwidth * device.bandwidth_share);
  const double computing = 2 * parameters * rows / (device.operations * device.operations_share);
  return std::max(reading, computing);
}

class Roofline {
 public:
  Roofline(const ModelProfile& model, const DeviceProfile& router, const DeviceProfile& worker,
           const ClusterLayout& layout, const RoutingProfile& routing)
      : model_(model), router_(router), worker_(worker), layout_(layout), routing_(routing) {}

  double RouterLayer(double tokens) const {
    return router_.router_overhead +
           MatrixSeconds(router_, model_.attention.parameters * model_.weight_bytes, model_.attention.parameters,
                         tokens) +
           MatrixSeconds(router_, 4 * model_.gate_parameters, model_.gate_parameters, tokens);
  }
  double Mlp(double parameters, double tokens) const {
    return parameters == 0 ? 0 : MatrixSeconds(router_, parameters * model_.weight_bytes, parameters, tokens);
  }
  // The busiest device: its experts' weights once, its pairs' operations. Experts with few rows are bound by reading,
  // the others by computing; all are taken as the average one.
  double Experts(double tokens) const {
    const bool inside = layout_.workers == 0;
    const DeviceProfile& device = inside ? router_ : worker_;
    const double devices = inside ? 1 : layout_.devices_of_workers();
    const double turns = inside ? 1 : static_cast<double>(layout_.workers) / devices;
    const double pairs = tokens * model_.top_k / devices;
    const double distinct = ExpectedDistinct(model_.num_experts, model_.top_k, tokens) / devices;
    const double imbalance =
        routing_.imbalance > 0 ? routing_.imbalance : ExpectedImbalance(devices, tokens * model_.top_k);
    const double bytes =
        std::min(imbalance * distinct, model_.num_experts / devices) * model_.expert_parameters * model_.weight_bytes;
    return turns * device.expert_overhead + MatrixSeconds(device, bytes, model_.expert_parameters, imbalance * pairs);
  }
  double Head(double rows) const {
    const double parameters = static_cast<double>(model_.hidden_size) * static_cast<double>(model_.vocab_size);
    return MatrixSeconds(router_, parameters * model_.weight_bytes, parameters, rows);
  }
  double DecodePosition() const {
    return std::max(model_.attention.cache_bytes / (router_.memory_bandwidth * router_.bandwidth_share),
                    PromptPosition());
  }
  double PromptPosition() const {
    return model_.attention.operations_position / (router_.attention_operations * router_.operations_share);
  }

 private:
  const ModelProfile& model_;
  const DeviceProfile& router_;
  const DeviceProfile& worker_;
  const ClusterLayout& layout_;
  const RoutingProfile& routing_;
};

const MeasuredParts* FindMeasured(const DeviceProfile& device, const std::string& shape) {
  for (const auto& [known, parts] : device.measured) {
    if (known == shape) {
      return &parts;
    }
  }
  return nullptr;
}

void UseRoofline(const Roofline& roofline, const ModelProfile& model, const DeviceProfile& router, PartCosts& costs) {
  costs.router = costs.router_again = Sample([&](double tokens) { return roofline.RouterLayer(tokens); });
  costs.experts = costs.experts_again = Sample([&](double tokens) { return roofline.Experts(tokens); });
  costs.dense = Sample([&](double tokens) { return roofline.Mlp(model.dense_parameters, tokens); });
  costs.shared = Sample([&](double tokens) { return roofline.Mlp(model.shared_parameters, tokens); });
  costs.head = Sample([&](double rows) { return roofline.Head(rows); });
  costs.step = Sample([&](double n) { return router.step_overhead + n * router.sequence_overhead; });
  costs.decode_position = roofline.DecodePosition();
  costs.prompt_position = roofline.PromptPosition();
}

void UseMeasuredRouter(const MeasuredParts& parts, const ClusterLayout& layout, bool network, PartCosts& costs) {
  const double more_frames = std::max(layout.workers - 1, 0);
  const auto with_frames = [&](const Curve& router) {
    return Sample([&](double n) { return router.At(n) + more_frames * parts.router_frame.At(n); });
  };
  const Curve& router = network ? parts.network_router : parts.router;
  costs.router = with_frames(router);
  costs.router_again = with_frames(network || parts.router_again.empty() ? router : parts.router_again);
  costs.dense = {};
  costs.shared = parts.shared;
  costs.head = parts.head;
  costs.step = parts.step;
  costs.decode_position = parts.decode_position;
  costs.prompt_position = parts.prompt_position;
}

// Measured on one worker that holds all experts: several devices divide everything but a call's fixed part.
void UseMeasuredExperts(const MeasuredParts& parts, const ClusterLayout& layout, bool network, PartCosts& costs) {
  const double devices = layout.devices_of_workers();
  const double more_turns = static_cast<double>(layout.workers) / devices - 1;
  const auto divided = [&](const Curve& experts) {
    return Sample([&](double n) { return experts.At(n) / devices + more_turns * parts.worker_frame.At(n); });
  };
  const Curve& experts = network ? parts.network_experts : parts.experts;
  costs.experts = divided(experts);
  costs.experts_again = divided(network || parts.experts_again.empty() ? experts : parts.experts_again);
}

void AddWire(const ModelProfile& model, const LinkProfile& link, const ClusterLayout& layout,
             const RoutingProfile& routing, PartCosts& costs) {
  costs.latency = link.latency;
  if (link.bytes_per_second <= 0) {
    return;
  }
  const double speed = link.bytes_per_second * link.bandwidth_share;
  const double workers = layout.devices_of_workers();
  const double row = static_cast<double>(model.hidden_size);
  // A row goes once to each worker that has one of its experts; every pair comes back.
  const auto copies = [&](double tokens) { return tokens * ExpectedDistinct(workers, model.top_k, 1); };
  const auto busiest = [&](double tokens) {
    return routing.imbalance > 0 ? routing.imbalance : ExpectedImbalance(workers, tokens * model.top_k);
  };
  costs.router_dispatch_wire = Sample([&](double n) { return copies(n) * row * model.dispatch_bytes / speed; });
  costs.router_combine_wire = Sample([&](double n) { return n * model.top_k * row * model.combine_bytes / speed; });
  costs.worker_dispatch_wire =
      Sample([&](double n) { return busiest(n) * copies(n) / workers * row * model.dispatch_bytes / speed; });
  costs.worker_combine_wire =
      Sample([&](double n) { return busiest(n) * n * model.top_k / workers * row * model.combine_bytes / speed; });
}

void SlowDown(double factor, PartCosts& costs) {
  for (Curve* curve : {&costs.router, &costs.router_again, &costs.dense, &costs.shared, &costs.experts,
                       &costs.experts_again, &costs.hand_off, &costs.wake_up, &costs.head, &costs.step}) {
    *curve = Scaled(*curve, factor);
  }
  costs.decode_position *= factor;
  costs.prompt_position *= factor;
}

}  // namespace

double PartCosts::RouterLayer(const MicroBatchWork& work, bool has_experts, bool again) const {
  const auto tokens = static_cast<double>(work.tokens);
  return (again ? router_again : router).At(tokens) + (has_experts ? 0 : dense.At(tokens)) +
         work.decode_positions * decode_position + work.prompt_positions * prompt_position;
}

double ExpectedDistinct(double choices, double picks, double tokens) {
  return picks >= choices ? choices : choices * (1 - std::pow(1 - picks / choices, tokens));
}

double ExpectedImbalance(double bins, double items) {
  if (bins <= 1 || items <= 0) {
    return 1;
  }
  const double largest = 1 + std::sqrt(2 * std::log(bins) * (bins - 1) / items);
  return std::min(largest, bins);
}

PartCosts MakePartCosts(const ModelProfile& model, const DeviceProfile& router, const DeviceProfile& worker,
                        const LinkProfile& link, const RoutingProfile& routing, const ClusterLayout& layout,
                        double slowdown) {
  PartCosts costs;
  const Roofline roofline(model, router, worker, layout, routing);
  const MeasuredParts* const on_router = FindMeasured(router, model.Shape());
  const MeasuredParts* const on_worker = layout.workers > 0 ? FindMeasured(worker, model.Shape()) : on_router;
  const bool network = layout.workers > 0 && link.latency > 0;
  UseRoofline(roofline, model, router, costs);
  if (on_router != nullptr) {
    UseMeasuredRouter(*on_router, layout, network, costs);
  }
  costs.experts_inside = layout.workers == 0;
  if (costs.experts_inside) {
    if (on_router != nullptr) {
      costs.experts = costs.experts_again = on_router->inline_experts;
    }
  } else {
    if (on_worker != nullptr) {
      UseMeasuredExperts(*on_worker, layout, network, costs);
    }
    const double frames = on_router == nullptr ? link.frame_overhead : 0;
    const Curve hand_off = on_router == nullptr ? Curve() : network ? on_router->network_hand_off : on_router->hand_off;
    costs.hand_off = Sample([&](double n) { return hand_off.At(n) / 2 + frames; });
    if (on_worker != nullptr && !network) {
      costs.wake_up = on_worker->wake_up;
    }
    AddWire(model, link, layout, routing, costs);
  }
  SlowDown(slowdown, costs);
  return costs;
}

}  // namespace tandem::scheduler
