// Predictions do not change by accident: a committed table of them is compared digit by digit. After a change that is
// meant to move them, TANDEM_UPDATE_GOLDENS=1 writes it anew; its difference belongs into the commit.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "scheduler/planner/plan.h"
#include "scheduler/planner/testing/toy_cluster.h"

namespace tandem::scheduler {
namespace {

constexpr char kTable[] = "scheduler/planner/testdata/predictions.txt";

std::string Line(const PlanInput& input) {
  const absl::StatusOr<PlanResult> plan = Predict(input);
  EXPECT_TRUE(plan.ok()) << plan.status();
  const std::string load =
      input.load.rate > 0 ? absl::StrCat(input.load.rate, "/s") : absl::StrCat(input.load.concurrency, " clients");
  return absl::StrFormat(
      "routers %d workers %d m %d latency %gus load %s: out %.9g tok/s ttft p99 %.9g ms itl p50 %.9g p99 %.9g ms busy "
      "%.6f "
      "%.6f %.6f m %.4f\n",
      input.layout.routers, input.layout.workers, input.layout.micro_batches, input.link.latency * 1e6, load,
      plan->output_tokens_per_second, plan->ttft.p99 * 1e3, plan->itl.p50 * 1e3, plan->itl.p99 * 1e3,
      plan->router_utilisation, plan->worker_utilisation, plan->wire_utilisation, plan->mean_micro_batches);
}

std::string Predictions() {
  std::string table;
  for (const int routers : {1, 4}) {
    for (const int workers : {0, 1, 3}) {
      for (const int micro_batches : {1, 3, 0}) {
        for (const double rate : {0.0, 20.0}) {
          PlanInput input = ToyCluster();
          input.layout.routers = routers;
          input.layout.workers = workers;
          input.layout.micro_batches = micro_batches;
          input.link.latency = micro_batches == 3 ? 500e-6 : 20e-6;
          input.load.rate = rate;
          table += Line(input);
        }
      }
    }
  }
  return table;
}

TEST(Predictions, AreThoseOfTheTable) {
  const std::string predictions = Predictions();
  if (std::getenv("TANDEM_UPDATE_GOLDENS") != nullptr) {
    std::ofstream(kTable) << predictions;
  }
  std::stringstream table;
  table << std::ifstream(kTable).rdbuf();
  EXPECT_EQ(predictions, table.str());
}

}  // namespace
}  // namespace tandem::scheduler
