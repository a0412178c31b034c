#include "scheduler/step_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "scheduler/pipeline_simulator.h"

namespace tandem::scheduler {
namespace {

TimeSpan Span(int begin, int end) {
  return {absl::UnixEpoch() + absl::Seconds(begin), absl::UnixEpoch() + absl::Seconds(end)};
}

TEST(Overlap, CountsEverySecondOnce) {
  EXPECT_EQ(Overlap({}, {Span(0, 5)}), absl::ZeroDuration());
  EXPECT_EQ(Overlap({Span(0, 10)}, {}), absl::ZeroDuration());
  EXPECT_EQ(Overlap({Span(2, 6), Span(8, 9)}, {Span(0, 3), Span(1, 4), Span(5, 12)}), absl::Seconds(4));
}

TEST(Overlap, AgreesWithCountingSeconds) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<TimeSpan> waits;
    for (int at = static_cast<int>(random() % 5); at < 60;) {
      const int length = 1 + static_cast<int>(random() % 6);
      waits.push_back(Span(at, at + length));
      at += length + static_cast<int>(random() % 5);
    }
    std::vector<TimeSpan> others;
    for (size_t i = 0; i < random() % 12; ++i) {
      const int begin = static_cast<int>(random() % 60);
      others.push_back(Span(begin, begin + static_cast<int>(random() % 12)));
    }
    int seconds = 0;
    for (const TimeSpan& wait : waits) {
      for (absl::Time t = wait.begin; t < wait.end; t += absl::Seconds(1)) {
        seconds += std::any_of(others.begin(), others.end(),
                               [t](const TimeSpan& span) { return span.begin <= t && t < span.end; });
      }
    }
    EXPECT_EQ(Overlap(waits, others), absl::Seconds(seconds));
  }
}

absl::Time At(double seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

TEST(CentreTrip, PutsTheWorkersTimesInTheMiddle) {
  const FrameTrip trip = CentreTrip(3, At(10), At(20), absl::Seconds(1), absl::Seconds(5));
  EXPECT_EQ(trip.worker, 3);
  EXPECT_EQ(trip.reached, At(12));
  EXPECT_EQ(trip.started, At(13));
  EXPECT_EQ(trip.finished, At(18));
  EXPECT_EQ(trip.wire(), absl::Seconds(4));
}

TEST(CentreTrip, ShortensWhatDoesNotFit) {
  const FrameTrip trip = CentreTrip(0, At(10), At(14), absl::Seconds(3), absl::Seconds(2));
  EXPECT_EQ(trip.wire(), absl::ZeroDuration());
  EXPECT_EQ(trip.reached, At(10));
  EXPECT_EQ(trip.started, At(12));
  EXPECT_EQ(trip.finished, At(14));
  EXPECT_EQ(CentreTrip(0, At(10), At(9), absl::Seconds(1), absl::Seconds(1)).arrived, At(10));
}

TEST(SplitWaits, TellsExpertsWireAndBubblesApart) {
  //         0    2    4    6    8    10   12   14
  // trip         out  queue comp back
  // waits   ------------------------------------
  const FrameTrip trip = {.sent = At(2), .reached = At(4), .started = At(6), .finished = At(8), .arrived = At(10)};
  const WaitParts parts = SplitWaits({Span(0, 14)}, {trip});
  EXPECT_EQ(parts.wire, absl::Seconds(4));
  EXPECT_EQ(parts.expert, absl::Seconds(2));
  EXPECT_EQ(parts.bubble, absl::Seconds(8));
}

TEST(SplitWaits, PartsAddUpToTheWaits) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<TimeSpan> waits;
    absl::Duration waited;
    for (int at = 0; at < 50;) {
      const int length = 1 + static_cast<int>(random() % 6);
      waits.push_back(Span(at, at + length));
      waited += absl::Seconds(length);
      at += length + static_cast<int>(random() % 5);
    }
    std::vector<FrameTrip> trips;
    for (int i = 0; i < 8; ++i) {
      const double sent = random() % 50;
      trips.push_back(CentreTrip(i % 2, At(sent), At(sent + random() % 20), absl::Seconds(random() % 5),
                                 absl::Seconds(random() % 9)));
    }
    const WaitParts parts = SplitWaits(waits, trips);
    EXPECT_EQ(parts.expert + parts.wire + parts.bubble, waited);
    EXPECT_GE(std::min({parts.expert, parts.wire, parts.bubble}), absl::ZeroDuration());
  }
}

TEST(DistinctShare, CountsEveryMomentOfAWorkerOnce) {
  const auto trip = [](int worker, int started, int finished) {
    return FrameTrip{.worker = worker, .started = At(started), .finished = At(finished)};
  };
  EXPECT_EQ(DistinctShare({}), 1);
  EXPECT_EQ(DistinctShare({trip(0, 0, 2), trip(1, 0, 2), trip(0, 3, 4)}), 1);
  EXPECT_EQ(DistinctShare({trip(0, 0, 2), trip(0, 0, 2), trip(1, 0, 4)}), 0.75);
}

// A step of equal micro-batches, as the engine would report it if the pipeline ran without any loss.
StepReport Simulated(const LayerCost& cost, int micro_batches, int layers) {
  const PipelineShape shape = {.experts = std::vector<bool>(layers, true)};
  const std::vector<bool> follows(micro_batches, false);
  StepReport report;
  report.micro_batches = micro_batches;
  report.layers.assign(micro_batches, {MicroBatchLoad{}, cost});
  const SimulatedStep step = SimulateStep(shape, follows, std::vector<LayerCost>(micro_batches, cost));
  report.router = absl::Seconds(step.router_busy);
  report.waits.wire = absl::Seconds(step.seconds - step.router_busy);  // which part it is does not matter
  report.expert = absl::Seconds(step.workers_busy);
  report.wire = 2 * absl::Seconds(cost.wire) * micro_batches * layers;
  return report;
}

absl::Duration Exposed(const StepReport& report, int layers) {
  return ExposedCommunication(report, std::vector<bool>(report.micro_batches, false), layers, false);
}

TEST(ExposedCommunication, OneMicroBatchExposesAllOfIt) {
  const StepReport report = Simulated({.router = 1, .expert = 2, .wire = 3}, 1, 10);
  EXPECT_EQ(Exposed(report, 10), absl::Seconds(60));
}

TEST(ExposedCommunication, IsWhatTheStepTakesLongerThanWithAFreeWire) {
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    LayerCost cost = {.router = 1.0 + random() % 4, .expert = 1.0 + random() % 4, .wire = 0.5 * (random() % 12)};
    const int micro_batches = 1 + static_cast<int>(random() % 4);
    const StepReport slow = Simulated(cost, micro_batches, 12);
    cost.wire = 0;
    const StepReport free = Simulated(cost, micro_batches, 12);
    EXPECT_EQ(Exposed(slow, 12), slow.total() - free.total());
  }
}

TEST(ExposedCommunication, BubblesAreNotTheWiresDoing) {
  StepReport report = Simulated({.router = 1, .expert = 2, .wire = 3}, 1, 10);
  report.waits.bubble = absl::Seconds(7);
  EXPECT_EQ(Exposed(report, 10), absl::Seconds(60));
}

TEST(IdealTime, OfALosslessStepIsTheStep) {
  for (const int micro_batches : {1, 2, 3}) {
    const StepReport report = Simulated({.router = 2, .expert = 2, .wire = 1}, micro_batches, 10);
    EXPECT_EQ(IdealTime(report, 10), report.total()) << micro_batches;
  }
}

TEST(IdealTime, OfAModelWithoutExpertsIsWhatTheRouterTook) {
  EXPECT_EQ(IdealTime({.router = absl::Seconds(2), .micro_batches = 1}, 0), absl::Seconds(2));
}

}  // namespace
}  // namespace tandem::scheduler
