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
