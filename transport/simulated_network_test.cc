#include "transport/simulated_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "transport/in_process_channel.h"
#include "transport/testing/answers.h"
#include "transport/testing/fake_handler.h"

namespace tandem::transport {
namespace {

std::unique_ptr<ExpertChannel> Connected(FakeHandler& handler, const NetworkConditions& conditions) {
  auto channel = MakeSimulatedNetworkChannel(MakeInProcessChannel("far", &handler), conditions);
  EXPECT_TRUE(channel->Handshake(TestIdentity(), absl::InfiniteFuture()).ok());
  return channel;
}

// Sends frames and waits for all answers; returns their order of arrival.
std::vector<int> Exchange(ExpertChannel& channel, int frames, int* failed = nullptr) {
  absl::Mutex mutex;
  std::vector<int> order;
  absl::BlockingCounter answers(frames);
  for (int i = 0; i < frames; ++i) {
    DispatchFrame frame = TestFrame(0, 2, 8, 4);
    const size_t want = OutputBytes(frame);
    channel.Dispatch(std::move(frame), [&, i, want](absl::StatusOr<CombineFrame> result) {
      absl::MutexLock lock(&mutex);
      if (result.ok()) {
        EXPECT_EQ(result->outputs.size(), want);
        order.push_back(i);
      } else {
        EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable) << result.status();
        if (failed != nullptr) ++*failed;
      }
      answers.DecrementCount();
    });
  }
  answers.Wait();
  absl::MutexLock lock(&mutex);
  return order;
}

TEST(SimulatedNetwork, TakesItsTimeInBothDirections) {
  FakeHandler handler;
  auto channel = Connected(handler, {.latency = absl::Milliseconds(20)});
  const absl::Time start = absl::Now();
  EXPECT_THAT(Exchange(*channel, 3), testing::ElementsAre(0, 1, 2)) << "without jitter the order stays";
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(40));
}

TEST(SimulatedNetwork, WithoutThreadsFramesMoveWhenTheyAreDueAndSomebodyLooks) {
  FakeHandler handler;
  PolledNetwork network =
      MakePolledNetworkChannel(MakeInProcessChannel("far", &handler), {.latency = absl::Milliseconds(10)});
  ASSERT_TRUE(network.channel->Handshake(TestIdentity(), absl::InfiniteFuture()).ok());
  handler.Hold();
  for (const absl::Duration latency : {absl::Milliseconds(10), absl::ZeroDuration()}) {
    network.set_speed(latency, 0);
    bool answered = false;
    const absl::Time start = absl::Now();
    network.channel->Dispatch(TestFrame(0, 2, 8, 4), [&](const absl::StatusOr<CombineFrame>& result) {
      EXPECT_TRUE(result.ok()) << result.status();
      answered = true;
    });
    EXPECT_EQ(handler.held(), 0u) << "nobody has looked yet";
    while (handler.held() == 0) {
      network.arrivals->Poll();
    }
    EXPECT_GE(absl::Now() - start, latency);
    const absl::Time answer = absl::Now();
    handler.Release();
    handler.Hold();
    EXPECT_FALSE(answered);
    while (!answered) {
      network.channel->Poll();
    }
    EXPECT_GE(absl::Now() - answer, latency);
  }
}

TEST(SimulatedNetwork, JitterReorders) {
  FakeHandler handler;
  auto channel = Connected(handler, {.jitter = absl::Milliseconds(30), .seed = 3});
  std::vector<int> order = Exchange(*channel, 20);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  EXPECT_EQ(order.back(), 19) << "all of them arrive";
}

TEST(SimulatedNetwork, BandwidthIsShared) {
  FakeHandler handler;
  const auto bytes = static_cast<double>(TestFrame(0, 2, 8, 4).rows.size());
  auto channel = Connected(handler, {.bytes_per_second = bytes / 0.005});
  const absl::Time start = absl::Now();
  Exchange(*channel, 8);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(40)) << "eight frames of five milliseconds each, one way";
}

TEST(SimulatedNetwork, LosesFrames) {
  FakeHandler handler;
  auto channel = Connected(handler, {.loss = 0.5, .seed = 5});
  int failed = 0;
  const std::vector<int> arrived = Exchange(*channel, 60, &failed);
  EXPECT_GT(failed, 10);
  EXPECT_EQ(arrived.size() + failed, 60u);
}

TEST(SimulatedNetwork, FramesThatAreHeldBackAreOvertaken) {
  FakeHandler handler;
  auto channel = Connected(handler, {.reordering = 0.3, .hold_back = absl::Milliseconds(50), .seed = 2});
  const std::vector<int> order = Exchange(*channel, 30);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  EXPECT_THAT(std::vector<int>(order), testing::UnorderedElementsAreArray(Exchange(*channel, 30)));
}

TEST(SimulatedNetwork, AStallHoldsUpEverythingBehindIt) {
  FakeHandler handler;
  auto channel = Connected(handler, {.stalling = 1, .stall = absl::Milliseconds(10)});
  const absl::Time start = absl::Now();
  EXPECT_THAT(Exchange(*channel, 4), testing::ElementsAre(0, 1, 2, 3));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(50)) << "four stalls there, and one more back";
}

TEST(SimulatedNetwork, DuplicatesAreComputedTwiceAndAnsweredOnce) {
  FakeHandler handler;
  auto channel = Connected(handler, {.duplication = 1});
  handler.Hold();
  std::vector<Answer> answers;
  for (int i = 0; i < 10; ++i) {
    answers.push_back(Send(*channel, TestFrame(i, 2, 8, 2)));
  }
  handler.WaitForHeld(20);
  handler.Release();
  for (int i = 0; i < 10; ++i) {
    ExpectOutputs(answers[i].Get(), ExpectedOutputs(TestFrame(i, 2, 8, 2)));
  }
}

TEST(SimulatedNetwork, DamageIsAlwaysAnErrorAndNeverAnotherOutput) {
  FakeHandler handler;
  auto channel = Connected(handler, {.corruption = 0.5, .seed = 9});
  int good = 0;
  int damaged = 0;
  for (int i = 0; i < 400; ++i) {
    const DispatchFrame frame = TestFrame(i % 7, 1 + i % 5, 16, 3);
    const Answer answer = Send(*channel, frame);
    if (answer.Get().ok()) {
      ++good;
      ExpectOutputs(answer.Get(), ExpectedOutputs(frame));
    } else {
      damaged += absl::IsDataLoss(answer.Get().status());
      EXPECT_TRUE(absl::IsDataLoss(answer.Get().status()) || absl::IsUnavailable(answer.Get().status()))
          << answer.Get().status();
    }
  }
  EXPECT_GT(good, 60);  // a quarter is spared in both directions
  EXPECT_GT(damaged, 60);
}

TEST(SimulatedNetwork, AFrameThatIsTooLateEndsAtItsDeadline) {
  FakeHandler handler;
  auto channel = Connected(handler, {.latency = absl::Hours(1)});
  DispatchFrame frame = TestFrame(0, 2, 8, 4);
  frame.deadline = absl::Now() + absl::Milliseconds(5);
  EXPECT_EQ(Send(*channel, std::move(frame)).Get().status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(NetworkFate, FollowsFromTheSeedAndTheFramesNumberAlone) {
  const NetworkConditions conditions{.jitter = absl::Seconds(1),
                                     .loss = 0.1,
                                     .reordering = 0.2,
                                     .hold_back = absl::Seconds(5),
                                     .stalling = 0.1,
                                     .stall = absl::Seconds(7),
                                     .duplication = 0.3,
                                     .corruption = 0.4,
                                     .seed = 17};
  NetworkConditions other = conditions;
  other.seed = 18;
  constexpr int kFrames = 4000;
  int lost = 0, duplicated = 0, damaged = 0, stalled = 0, held_back = 0, same = 0;
  for (uint64_t frame = 0; frame < kFrames; ++frame) {
    const FrameFate fate = FateOf(conditions, frame);
    const FrameFate again = FateOf(conditions, frame);
    EXPECT_EQ(fate.out.delay, again.out.delay);
    EXPECT_EQ(fate.back.damage_seed, again.back.damage_seed);
    same += fate.out.delay == FateOf(other, frame).out.delay;
    lost += fate.lost;
    duplicated += fate.duplicated;
    damaged += fate.out.damage_seed != 0;
    stalled += fate.back.stall > absl::ZeroDuration();
    held_back += fate.back.delay >= conditions.hold_back;
  }
  EXPECT_NEAR(lost, 0.1 * kFrames, 100);
  EXPECT_NEAR(held_back, 0.2 * kFrames, 120);
  EXPECT_NEAR(stalled, 0.1 * kFrames, 100);
  EXPECT_NEAR(duplicated, 0.3 * kFrames, 140);
  EXPECT_NEAR(damaged, 0.4 * kFrames, 150);
  EXPECT_LT(same, 10);
}

TEST(SimulatedNetwork, ChannelsThatShareAThreadEndByThemselves) {
  FakeHandler handler;
  const auto thread = std::make_shared<NetworkThread>();
  const auto connect = [&](absl::Duration latency) {
    auto channel = MakeSimulatedNetworkChannel(MakeInProcessChannel("far", &handler), {.latency = latency}, thread);
    EXPECT_TRUE(channel->Handshake(TestIdentity(), absl::InfiniteFuture()).ok());
    return channel;
  };
  auto slow = connect(absl::Hours(1));
  auto quick = connect(absl::Milliseconds(2));
  const Answer lost = Send(*slow, TestFrame(0, 2, 8, 4));
  const Answer first = Send(*quick, TestFrame(1, 2, 8, 4));
  slow = nullptr;
  EXPECT_EQ(lost.Get().status().code(), absl::StatusCode::kUnavailable);
  ExpectOutputs(first.Get(), ExpectedOutputs(TestFrame(1, 2, 8, 4)));
  const Answer second = Send(*quick, TestFrame(2, 2, 8, 4));
  ExpectOutputs(second.Get(), ExpectedOutputs(TestFrame(2, 2, 8, 4)));
}

TEST(SimulatedNetwork, EndsWhatIsUnderWay) {
  FakeHandler handler;
  auto channel = Connected(handler, {.latency = absl::Hours(1)});
  absl::Status status;
  channel->Dispatch(TestFrame(0, 2, 8, 4), [&](absl::StatusOr<CombineFrame> result) { status = result.status(); });
  channel = nullptr;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tandem::transport
