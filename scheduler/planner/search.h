// The cheapest layout that carries a load within its promises.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/planner/plan.h"

namespace tandem::scheduler {

// Seconds; 0: not asked for.
struct ServiceLevel {
  double ttft_p99 = 0;
  double itl_p99 = 0;
};

struct SearchSpace {
  std::vector<int> routers;
  std::vector<int> workers;
  std::vector<int> max_sequences;
  std::vector<int64_t> max_batch_tokens;
};

// Powers of two up to `most`, and `most`.
std::vector<int> DeviceCounts(int most);

struct SearchResult {
  PlanInput input;  // with the layout that was found
  PlanResult plan;
  int tried = 0;    // layouts simulated
  int skipped = 0;  // that do not fit their memory
};

bool Meets(const PlanResult& plan, const ServiceLevel& level);

// Tries layouts by ascending price (by number of devices where prices are unknown) and, at one price, by descending
// batch; the first that keeps up and meets the level is the answer. Closed-loop loads keep up by definition. Errors:
// NOT_FOUND saying how far the best layout was off.
absl::StatusOr<SearchResult> FindCheapest(const PlanInput& base, const SearchSpace& space, const ServiceLevel& level);

}  // namespace tandem::scheduler
