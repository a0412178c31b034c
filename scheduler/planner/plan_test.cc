#include "scheduler/planner/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "scheduler/planner/search.h"
#include "scheduler/planner/testing/toy_cluster.h"

namespace tandem::scheduler {
namespace {

PlanResult PredictOrDie(const PlanInput& input) {
  absl::StatusOr<PlanResult> plan = Predict(input);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

// One router and one worker that decode `batch` sequences, all of `context` tokens, from the cache.
PlanInput Decoding(int batch, int64_t context) {
  PlanInput input = ToyCluster();
  input.layout = {.routers = 1, .workers = 1, .max_sequences = batch, .micro_batches = 1};
  input.load = {.concurrency = batch,
                .prompt_tokens = context,
                .output_tokens = 9,
                .prefix_cache_share = 1,
                .requests = batch,
                .warm = false};
  return input;
}

TEST(Plan, OneMicroBatchWithoutNetworkIsTheSumOfItsParts) {
  PlanInput input = Decoding(8, 100);
  input.model.shared_parameters = 0;  // they run while the experts do
  input.link = {};
  const PartCosts costs =
      MakePartCosts(input.model, input.router, input.worker, input.link, input.routing, input.layout, 1);
  const PlanResult plan = PredictOrDie(input);
  // Of the first step, in which all sequences compute the last token of their prompt.
  const MicroBatchWork work = {.tokens = 8, .prompt_tokens = 8, .prompt_positions = 8 * 100.0};
  const double expected = costs.RouterLayer(work, false, false) + 11 * costs.RouterLayer(work, true, false) +
                          11 * costs.experts.At(8) + costs.head.At(8) + costs.step.At(8);
  EXPECT_NEAR(plan.simulation.step_seconds[0], expected, 1e-12);
}

TEST(Plan, LaterMicroBatchesOfALayerFindItsWeightsInTheCache) {
  PlanInput input = Decoding(8, 100);
  input.layout.micro_batches = 2;
  input.model.shared_parameters = 0;
  input.link = {};
  MeasuredParts parts;
  parts.router = Curve::Constant(1e-6);
  parts.experts = Curve::Constant(5e-3);  // what the step waits for
  input.router.measured = input.worker.measured = {{input.model.Shape(), parts}};
  const double alike = PredictOrDie(input).simulation.step_seconds[0];
  parts.experts_again = Curve::Constant(2e-3);
  input.router.measured = input.worker.measured = {{input.model.Shape(), parts}};
  const double cached = PredictOrDie(input).simulation.step_seconds[0];
  EXPECT_NEAR(alike - cached, 11 * 3e-3, 1e-9);
  parts.router_again = Curve::Constant(0);
  input.router.measured = input.worker.measured = {{input.model.Shape(), parts}};
  EXPECT_LE(PredictOrDie(input).simulation.step_seconds[0], cached);
}

TEST(Plan, ExpertsInsideTheRouterAddUpToo) {
  PlanInput input = Decoding(8, 100);
  input.layout.workers = 0;
  const PartCosts costs =
      MakePartCosts(input.model, input.router, input.worker, input.link, input.routing, input.layout, 1);
  const PlanResult plan = PredictOrDie(input);
  const MicroBatchWork work = {.tokens = 8, .prompt_tokens = 8, .prompt_positions = 8 * 100.0};
  const double expected = costs.RouterLayer(work, false, false) +
                          11 * (costs.RouterLayer(work, true, false) + costs.experts.At(8) + costs.shared.At(8)) +
                          costs.head.At(8) + costs.step.At(8);
  EXPECT_NEAR(plan.simulation.step_seconds[0], expected, 1e-12);
  EXPECT_EQ(plan.worker_utilisation, 0);
}

TEST(Plan, TheWireAddsItsLatencyTwiceALayer) {
  PlanInput input = Decoding(8, 100);
  input.link = {};
  const double without = PredictOrDie(input).simulation.step_seconds[0];
  input.link.latency = 5e-3;
  EXPECT_NEAR(PredictOrDie(input).simulation.step_seconds[0], without + 11 * 2 * 5e-3, 1e-9);
}

TEST(Plan, MicroBatchesHideTheWire) {
  PlanInput input = Decoding(32, 100);
  input.link.latency = 2e-3;
  const double one = PredictOrDie(input).itl.p50;
  input.layout.micro_batches = 3;
  EXPECT_LT(PredictOrDie(input).itl.p50, one);
}

TEST(Plan, NoTokenIsLost) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto pick = [&](int64_t low, int64_t high) {
      return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
    };
    PlanInput input = ToyCluster();
    input.layout.routers = static_cast<int>(pick(1, 5));
    input.layout.workers = static_cast<int>(pick(0, 4));
    input.layout.max_sequences = static_cast<int>(pick(1, 20));
    input.layout.max_batch_tokens = pick(8, 600);
    input.load.concurrency = static_cast<int>(pick(1, 40));
    input.load.rate = pick(0, 1) == 0 ? 0 : static_cast<double>(pick(1, 50));
    input.load.seed = seed;
    input.load.warm = false;
    // Everybody who has come is answered: an open loop ends when as many are answered as have arrived.
    const PlanResult plan = PredictOrDie(input);
    EXPECT_GE(plan.simulation.answered, input.load.requests);
    EXPECT_GE(plan.simulation.ttft.size(), static_cast<size_t>(plan.simulation.answered));
    EXPECT_EQ(plan.simulation.output_tokens,
              static_cast<int64_t>(plan.simulation.ttft.size() + plan.simulation.itl.size()));
    for (const double gap : plan.simulation.itl) {
      EXPECT_GT(gap, 0);
    }
    EXPECT_LE(plan.router_utilisation, 1 + 1e-9);
    EXPECT_LE(plan.worker_utilisation, 1 + 1e-9);
    EXPECT_LE(plan.wire_utilisation, 1 + 1e-9);
  }
}

TEST(Plan, AnswersHaveTheTokensThatWereAskedFor) {
  PlanInput input = ToyCluster();
  input.load.warm = false;
  input.load.length_spread = 0;
  input.load.concurrency = 1;
  input.load.requests = 7;
  input.layout.routers = 1;
  const PlanResult plan = PredictOrDie(input);
  EXPECT_EQ(plan.simulation.answered, 7);
  EXPECT_EQ(plan.simulation.output_tokens, 7 * input.load.output_tokens);
  EXPECT_EQ(plan.simulation.input_tokens, 7 * input.load.prompt_tokens);
}

TEST(Plan, SequencesThatLackBlocksArePreemptedAndStillAnswered) {
  PlanInput input = ToyCluster();
  input.layout.routers = 1;
  input.load.warm = false;
  input.load.requests = 30;
  input.load.concurrency = 30;
  input.load.prompt_tokens = 10;
  input.load.output_tokens = 300;
  // Memory for the weights and three whole sequences: prompts fit, answers do not.
  const double weights = input.model.router_weight_bytes();
  input.router.memory_bytes = (weights + 3 * 500 * input.model.cache_bytes_per_token()) / input.usable_memory;
  const PlanResult plan = PredictOrDie(input);
  EXPECT_GT(plan.preemptions, 0);
  EXPECT_EQ(plan.simulation.answered, 30);
}

TEST(Plan, MoreBandwidthIsNeverSlower) {
  for (const int batch : {1, 8, 32}) {
    double last = 1e9;
    for (const double bandwidth : {0.1e9, 1e9, 10e9, 100e9}) {
      PlanInput input = Decoding(batch, 200);
      input.link.bytes_per_second = bandwidth;
      const double step = PredictOrDie(input).itl.p50;
      EXPECT_LE(step, last * (1 + 1e-9)) << batch << " sequences at " << bandwidth << " bytes/s";
      last = step;
    }
  }
}

TEST(Plan, FasterMemoryIsNeverSlower) {
  double last = 1e9;
  for (const double bandwidth : {20e9, 50e9, 100e9, 1000e9}) {
    PlanInput input = Decoding(16, 500);
    input.router.memory_bandwidth = input.worker.memory_bandwidth = bandwidth;
    const double step = PredictOrDie(input).itl.p50;
    EXPECT_LE(step, last);
    last = step;
  }
}

TEST(Plan, SlowdownScalesComputingAndNoLatency) {
  PlanInput input = Decoding(8, 100);
  input.link = {.latency = 1e-3};
  const double wire = 11 * 2 * input.link.latency;
  const double once = PredictOrDie(input).itl.p50;
  input.slowdown = 2;
  EXPECT_NEAR(PredictOrDie(input).itl.p50 - wire, 2 * (once - wire), 1e-9);
}

TEST(Plan, IsDeterministic) {
  PlanInput input = ToyCluster();
  input.load.rate = 20;
  const PlanResult a = PredictOrDie(input);
  const PlanResult b = PredictOrDie(input);
  EXPECT_EQ(a.simulation.itl, b.simulation.itl);
  EXPECT_EQ(a.simulation.ttft, b.simulation.ttft);
  input.load.seed = 2;
  EXPECT_NE(PredictOrDie(input).simulation.ttft, a.simulation.ttft);
}

TEST(Plan, WarmLoadsBeginInTheMiddle) {
  PlanInput input = ToyCluster();
  input.load.warm = false;
  const PlanResult cold = PredictOrDie(input);
  input.load.warm = true;
  const PlanResult warm = PredictOrDie(input);
  EXPECT_GT(cold.ttft.p99, warm.ttft.p99) << "64 prompts at once against prompts that come as others are answered";
}

TEST(Plan, LayoutsThatDoNotFitSayByHowMuch) {
  PlanInput input = ToyCluster();
  input.worker.memory_bytes = 0.1e9;
  const absl::Status workers = Predict(input).status();
  EXPECT_EQ(workers.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(workers.message()), testing::HasSubstr("GiB too little; use more workers"));
  input = ToyCluster();
  input.router.memory_bytes = 0.1e9;
  EXPECT_EQ(Predict(input).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(Plan, RefusesRequestsBeyondTheContext) {
  PlanInput input = ToyCluster();
  input.load.prompt_tokens = 9000;
  EXPECT_EQ(Predict(input).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Plan, NamesTheBottleneck) {
  PlanInput input = ToyCluster();
  input.load.concurrency = 128;
  EXPECT_EQ(PredictOrDie(input).bottleneck, "expert workers") << "four routers share two";
  input.link.bytes_per_second = 50e6;
  EXPECT_EQ(PredictOrDie(input).bottleneck, "network bandwidth");
  input.load.rate = 0.5;
  EXPECT_THAT(PredictOrDie(input).bottleneck, testing::StartsWith("none"));
}

TEST(Plan, OverloadDoesNotKeepUp) {
  PlanInput input = ToyCluster();
  input.load.rate = 5000;
  input.load.requests = 300;
  EXPECT_FALSE(PredictOrDie(input).keeps_up);
  input.load.rate = 1;
  EXPECT_TRUE(PredictOrDie(input).keeps_up);
}

TEST(Plan, TracesOneStep) {
  PlanInput input = ToyCluster();
  input.trace_step = 3;
  const PlanResult plan = PredictOrDie(input);
  double router_end = 0;
  int dispatches = 0;
  int combines = 0;
  for (const SimulatedSpan& span : plan.simulation.spans) {
    EXPECT_LE(span.begin, span.end);
    if (span.track == SimulatedSpan::Track::kRouter) {
      EXPECT_GE(span.begin, router_end - 1e-12) << "a router does one thing at a time";
      router_end = span.end;
    }
    dispatches += span.track == SimulatedSpan::Track::kDispatch ? 1 : 0;
    combines += span.track == SimulatedSpan::Track::kCombine ? 1 : 0;
  }
  EXPECT_GE(dispatches, 11);
  EXPECT_EQ(dispatches, combines);
}

TEST(Search, FindsALayoutThatKeepsItsPromisesAndNothingCheaperDoes) {
  PlanInput input = ToyCluster();
  input.load.rate = 30;
  input.load.requests = 60;
  const SearchSpace space = {
      .routers = {1, 2, 4}, .workers = {0, 1, 2, 4}, .max_sequences = {16, 64}, .max_batch_tokens = {256}};
  const ServiceLevel level = {.ttft_p99 = 2, .itl_p99 = 0.1};
  const absl::StatusOr<SearchResult> found = FindCheapest(input, space, level);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(Meets(found->plan, level));
  for (const int routers : space.routers) {
    for (const int workers : space.workers) {
      for (const int sequences : space.max_sequences) {
        PlanInput other = input;
        other.layout.routers = routers;
        other.layout.workers = workers;
        other.layout.max_sequences = sequences;
        other.layout.max_batch_tokens = 256;
        const absl::StatusOr<PlanResult> plan = Predict(other);
        if (plan.ok() && plan->price_per_hour < found->plan.price_per_hour) {
          EXPECT_FALSE(Meets(*plan, level)) << routers << " routers, " << workers << " workers";
        }
      }
    }
  }
}

TEST(Search, SaysHowFarTheBestLayoutIsOff) {
  PlanInput input = ToyCluster();
  const SearchSpace space = {.routers = {1}, .workers = {1}, .max_sequences = {4}, .max_batch_tokens = {256}};
  const absl::Status status = FindCheapest(input, space, {.itl_p99 = 1e-6}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("none of 1 layouts"));
  const absl::Status late = FindCheapest(input, space, {.ttft_p99 = 1e-6}).status();
  EXPECT_THAT(std::string(late.message()), testing::HasSubstr("misses by"));
}

TEST(Search, APromiseThatWasNeverPutToTheTestIsNotKept) {
  PlanResult plan;
  EXPECT_FALSE(Meets(plan, {.itl_p99 = 1}));
  plan.simulation.itl = {0.5};
  plan.itl.p99 = 0.5;
  EXPECT_TRUE(Meets(plan, {.itl_p99 = 1}));
  EXPECT_FALSE(Meets(plan, {.ttft_p99 = 1, .itl_p99 = 1}));
}

TEST(Search, DeviceCountsDoubleUpToTheMost) {
  EXPECT_THAT(DeviceCounts(12), testing::ElementsAre(1, 2, 4, 8, 12));
  EXPECT_THAT(DeviceCounts(8), testing::ElementsAre(1, 2, 4, 8));
}

}  // namespace
}  // namespace tandem::scheduler
