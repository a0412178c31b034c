#include "scheduler/planner/search.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "absl/strings/str_format.h"
#include "base/status.h"

namespace tandem::scheduler {
namespace {

constexpr int kProbeSteps = 12;  // of every router

double Price(const PlanInput& base, const ClusterLayout& layout) {
  const double routers = layout.routers;
  const double workers = layout.devices_of_workers();
  const double price = routers * base.router.price_per_hour + workers * base.worker.price_per_hour;
  return price > 0 ? price : routers + workers;
}

std::vector<ClusterLayout> Candidates(const PlanInput& base, const SearchSpace& space) {
  std::vector<ClusterLayout> layouts;
  for (const int routers : space.routers) {
    for (const int workers : space.workers) {
      for (const int sequences : space.max_sequences) {
        for (const int64_t tokens : space.max_batch_tokens) {
          ClusterLayout layout = base.layout;
          layout.routers = routers;
          layout.workers = workers;
          layout.worker_devices = 0;
          layout.max_sequences = sequences;
          layout.max_batch_tokens = tokens;
          layouts.push_back(layout);
        }
      }
    }
  }
  std::stable_sort(layouts.begin(), layouts.end(), [&](const ClusterLayout& a, const ClusterLayout& b) {
    const double prices[] = {Price(base, a), Price(base, b)};
    return prices[0] != prices[1] ? prices[0] < prices[1] : a.max_sequences > b.max_sequences;
  });
  return layouts;
}

// A look at the first steps, which take as long as any: layouts whose every other token is late need no more.
bool IsHopeless(const PlanInput& input, const ServiceLevel& level) {
  PlanInput probe = input;
  probe.max_steps = kProbeSteps * input.layout.routers;
  const absl::StatusOr<PlanResult> plan = Predict(probe);
  return plan.ok() && level.itl_p99 > 0 && plan->itl.p50 > level.itl_p99;
}

// How many times the worst promise was missed by.
double Miss(const PlanResult& plan, const ServiceLevel& level) {
  double miss = 0;
  if (level.ttft_p99 > 0) {
    miss = std::max(miss, plan.ttft.p99 / level.ttft_p99);
  }
  if (level.itl_p99 > 0) {
    miss = std::max(miss, plan.itl.p99 / level.itl_p99);
  }
  return miss;
}

}  // namespace

std::vector<int> DeviceCounts(int most) {
  std::vector<int> counts;
  for (int power = 1; power < most; power *= 2) {
    counts.push_back(power);
  }
  counts.push_back(most);
  return counts;
}

bool Meets(const PlanResult& plan, const ServiceLevel& level) {
  // What never happened within the simulated time is not a promise kept.
  const bool known = (level.ttft_p99 == 0 || !plan.simulation.ttft.empty()) &&
                     (level.itl_p99 == 0 || !plan.simulation.itl.empty());
  return known && plan.keeps_up && Miss(plan, level) <= 1;
}

absl::StatusOr<SearchResult> FindCheapest(const PlanInput& base, const SearchSpace& space, const ServiceLevel& level) {
  SearchResult result;
  double best_miss = std::numeric_limits<double>::infinity();
  std::optional<ClusterLayout> best;
  for (const ClusterLayout& layout : Candidates(base, space)) {
    result.input = base;
    result.input.layout = layout;
    if (absl::IsResourceExhausted(PlanMemory(result.input).status())) {
      ++result.skipped;
      continue;
    }
    ++result.tried;
    if (IsHopeless(result.input, level)) {
      continue;
    }
    absl::StatusOr<PlanResult> plan = Predict(result.input);
    RETURN_IF_ERROR(plan.status());
    if (Meets(*plan, level)) {
      result.plan = *std::move(plan);
      return result;
    }
    if (const double miss = Miss(*plan, level); plan->keeps_up && miss < best_miss) {
      best_miss = miss;
      best = layout;
    }
  }
  if (!best.has_value()) {
    return absl::NotFoundError(
        absl::StrFormat("none of %d layouts carries the load (%d more do not fit their memory); allow more devices",
                        result.tried, result.skipped));
  }
  return absl::NotFoundError(
      absl::StrFormat("none of %d layouts meets the promises; the closest, %d routers with %d workers and %d sequences "
                      "each, misses by %.2f "
                      "times",
                      result.tried, best->routers, best->workers, best->max_sequences, best_miss));
}

}  // namespace tandem::scheduler
