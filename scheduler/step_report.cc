#include "scheduler/step_report.h"

#include <algorithm>
#include <map>

#include "scheduler/overlap_bound.h"
#include "scheduler/pipeline_simulator.h"

namespace tandem::scheduler {

FrameTrip CentreTrip(int worker, absl::Time sent, absl::Time arrived, absl::Duration queued, absl::Duration computed) {
  const absl::Duration round_trip = std::max(arrived - sent, absl::ZeroDuration());
  computed = std::min(computed, round_trip);
  queued = std::min(queued, round_trip - computed);
  const absl::Duration one_way = (round_trip - computed - queued) / 2;
  FrameTrip trip = {.worker = worker, .sent = sent, .reached = sent + one_way};
  trip.started = trip.reached + queued;
  trip.finished = trip.started + computed;
  trip.arrived = sent + round_trip;
  return trip;
}

WaitParts SplitWaits(absl::Span<const TimeSpan> waits, absl::Span<const FrameTrip> trips) {
  std::vector<TimeSpan> computing;
  std::vector<TimeSpan> computing_or_travelling;
  for (const FrameTrip& trip : trips) {
    computing.push_back({trip.started, trip.finished});
    computing_or_travelling.push_back({trip.sent, trip.reached});
    computing_or_travelling.push_back({trip.started, trip.arrived});
  }
  absl::Duration waited;
  for (const TimeSpan& wait : waits) {
    waited += wait.end - wait.begin;
  }
  WaitParts parts;
  parts.expert = Overlap(waits, std::move(computing));
  const absl::Duration accounted = Overlap(waits, std::move(computing_or_travelling));
  parts.wire = accounted - parts.expert;
  parts.bubble = waited - accounted;
  return parts;
}

double DistinctShare(absl::Span<const FrameTrip> trips) {
  std::map<int, std::vector<TimeSpan>> by_worker;
  absl::Duration reported;
  for (const FrameTrip& trip : trips) {
    by_worker[trip.worker].push_back({trip.started, trip.finished});
    reported += trip.computed();
  }
  const TimeSpan always[] = {{absl::InfinitePast(), absl::InfiniteFuture()}};
  absl::Duration distinct;
  for (auto& [worker, computing] : by_worker) {
    distinct += Overlap(always, std::move(computing));
  }
  return reported > absl::ZeroDuration() ? absl::FDivDuration(distinct, reported) : 1;
}

absl::Duration ExposedCommunication(const StepReport& report, const std::vector<bool>& follows, int layers,
                                    bool shared_experts) {
  std::vector<LayerCost> costs;
  for (const auto& [load, cost] : report.layers) {
    costs.push_back(cost);
    costs.back().expert *= report.distinct;
    costs.back().wire = 0;
  }
  const PipelineShape shape = {.experts = std::vector<bool>(layers, true), .shared_experts = shared_experts};
  const SimulatedStep free = SimulateStep(shape, follows, costs);
  const absl::Duration waits = report.waits.expert + report.waits.wire;
  const absl::Duration exposed = waits - absl::Seconds(free.seconds - free.router_busy);
  return std::clamp(exposed, absl::ZeroDuration(), report.wire);
}

absl::Duration IdealTime(const StepReport& report, int layers) {
  if (layers == 0 || report.layers.empty()) {
    return report.total();
  }
  IdealStep step = {.layers = layers};
  double beside = absl::ToDoubleSeconds(report.router + report.shared);  // what the router does outside of these layers
  for (const auto& [load, cost] : report.layers) {
    step.micro_batches.push_back(cost);
    step.micro_batches.back().expert *= report.distinct;
    beside -= layers * (cost.router + cost.shared);
  }
  return absl::Seconds(step.Seconds() + std::max(beside, 0.0));
}

absl::Duration Overlap(absl::Span<const TimeSpan> waits, std::vector<TimeSpan> others) {
  std::sort(others.begin(), others.end(), [](const TimeSpan& a, const TimeSpan& b) { return a.begin < b.begin; });
  std::vector<TimeSpan> merged;
  for (const TimeSpan& span : others) {
    if (!merged.empty() && span.begin <= merged.back().end) {
      merged.back().end = std::max(merged.back().end, span.end);
    } else {
      merged.push_back(span);
    }
  }
  absl::Duration total;
  for (const TimeSpan& wait : waits) {
    auto span = std::lower_bound(merged.begin(), merged.end(), wait.begin,
                                 [](const TimeSpan& s, absl::Time begin) { return s.end <= begin; });
    for (; span != merged.end() && span->begin < wait.end; ++span) {
      total += std::min(span->end, wait.end) - std::max(span->begin, wait.begin);
    }
  }
  return total;
}

}  // namespace tandem::scheduler
