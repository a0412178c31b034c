// What every ExpertChannel promises, run against each kind of channel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "transport/expert_channel.h"
#include "transport/grpc_channel.h"
#include "transport/grpc_server.h"
#include "transport/in_process_channel.h"
#include "transport/testing/answers.h"
#include "transport/testing/fake_handler.h"

namespace tandem::transport {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class Kind { kInProcess, kGrpcTcp, kGrpcUnix, kShm };

class ChannelConformanceTest : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kInProcess) {
      channel_ = MakeInProcessChannel("local", &handler_);
      return;
    }
    GrpcServerOptions options;
    if (GetParam() != Kind::kGrpcTcp) {
      options.listen = "unix:" + ::testing::TempDir() + "tandem-conformance-" + std::to_string(::getpid()) + ".sock";
    }
    auto server = StartGrpcServer(options, &handler_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    GrpcChannelOptions channel;
    channel.transport = GetParam() == Kind::kShm ? TransportChoice::kShm : TransportChoice::kGrpc;
    channel_ = MakeGrpcChannel(
        GetParam() != Kind::kGrpcTcp ? options.listen : "127.0.0.1:" + std::to_string(server_->port()), channel);
  }

  void TearDown() override {
    handler_.Release();
    channel_ = nullptr;
    server_ = nullptr;
  }

  absl::StatusOr<WorkerInfo> Handshake(const ModelIdentity& identity = TestIdentity()) {
    return channel_->Handshake(identity, absl::Now() + absl::Seconds(60));
  }

  FakeHandler handler_;
  std::unique_ptr<GrpcExpertServer> server_;
  std::unique_ptr<ExpertChannel> channel_;
};

TEST_P(ChannelConformanceTest, RefusesFramesBeforeTheHandshake) {
  EXPECT_FALSE(channel_->ready());
  const Answer answer = Send(*channel_, TestFrame(0, 1, 4, 1));
  EXPECT_EQ(answer.Get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(answer.Get().status().message(), HasSubstr(channel_->name()));
}

TEST_P(ChannelConformanceTest, HandshakeTellsWhoTheWorkerIs) {
  const auto info = Handshake();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_TRUE(channel_->ready());
  EXPECT_EQ(info->worker_id, "fake");
  EXPECT_EQ(info->identity, TestIdentity());
  EXPECT_EQ(info->weights_bytes, 1000);
  EXPECT_EQ(info->memory_bytes, 2000);
  EXPECT_FALSE(info->draining);
}

TEST_P(ChannelConformanceTest, HandshakeNamesBothSidesOfAMismatch) {
  const auto expect_refused = [&](const ModelIdentity& router, const std::vector<std::string>& words) {
    const auto info = Handshake(router);
    EXPECT_EQ(info.status().code(), absl::StatusCode::kFailedPrecondition) << info.status();
    for (const std::string& word : words) {
      EXPECT_THAT(info.status().message(), HasSubstr(word));
    }
    EXPECT_FALSE(channel_->ready());
  };
  ModelIdentity router = TestIdentity();
  router.checkpoint_digest = "decaf";
  expect_refused(router, {"checkpoint_digest", "decaf", "c0ffee", channel_->name()});
  router = TestIdentity();
  router.architecture = "mixtral";
  expect_refused(router, {"architecture", "mixtral", "olmoe"});
  router = TestIdentity();
  router.weight_dtype = compute::DType::kF32;
  expect_refused(router, {"weight_dtype", "float32", "bfloat16"});
  router = TestIdentity();
  router.wire_dtype = compute::DType::kBF16;
  expect_refused(router, {"wire_dtype", "bfloat16", "float32"});
}

TEST_P(ChannelConformanceTest, AnswersAFrame) {
  ASSERT_TRUE(Handshake().ok());
  const DispatchFrame frame = TestFrame(3, 5, 8, 4);
  const Answer answer = Send(*channel_, frame);
  ExpectOutputs(answer.Get(), ExpectedOutputs(frame));
  EXPECT_EQ(answer.Get()->compute_time, absl::Microseconds(30));
  EXPECT_EQ(answer.Get()->queue_time, absl::Microseconds(4));
}

TEST_P(ChannelConformanceTest, AnswersAnEmptyFrame) {
  ASSERT_TRUE(Handshake().ok());
  const DispatchFrame frame = TestFrame(0, 0, 8, 4);
  ExpectOutputs(Send(*channel_, frame).Get(), FrameBuffer());
}

TEST_P(ChannelConformanceTest, CarriesFramesLargerThanGrpcsDefaultLimit) {
  ASSERT_TRUE(Handshake().ok());
  const DispatchFrame frame = TestFrame(1, 512, 4096, 2);  // 8 MiB there, 16 MiB back
  ExpectOutputs(Send(*channel_, frame).Get(), ExpectedOutputs(frame));
}

TEST_P(ChannelConformanceTest, CarriesRowsWrittenToMemoryThatItLends) {
  ASSERT_TRUE(Handshake().ok());
  const auto lent = [&](const DispatchFrame& frame) {
    FrameBuffer rows = channel_->LendRows(frame.pairs.size(), frame.rows.size());
    EXPECT_EQ(rows.size(), frame.rows.size());
    std::copy(frame.rows.bytes().begin(), frame.rows.bytes().end(), rows.mutable_bytes().begin());
    return rows;
  };
  for (int i = 0; i < 300; ++i) {
    DispatchFrame frame = TestFrame(i, 1 + i % 7, 512, 3);
    frame.rows = lent(frame);
    if (i % 3 == 0) {
      frame.rows = lent(frame);  // what was written first is let go of
    }
    if (i % 5 == 0) {
      frame.pairs.pop_back();  // not what the room was lent for
    }
    const FrameBuffer want = ExpectedOutputs(frame);
    ExpectOutputs(Send(*channel_, std::move(frame)).Get(), want);
  }
}

TEST_P(ChannelConformanceTest, TheWorkerLearnsThatTheRouterOfAFrameHasGone) {
  if (GetParam() == Kind::kInProcess) {
    GTEST_SKIP() << "the router and its worker are one process";
  }
  ASSERT_TRUE(Handshake().ok());
  handler_.Hold();
  const Answer answer = Send(*channel_, TestFrame(0, 1, 4, 1));
  handler_.WaitForHeld(1);
  EXPECT_FALSE(handler_.RoutersAreGone());
  channel_ = nullptr;
  EXPECT_EQ(answer.Get().status().code(), absl::StatusCode::kUnavailable);
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (!handler_.RoutersAreGone() && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(handler_.RoutersAreGone());
}

TEST_P(ChannelConformanceTest, PassesTheWorkersErrorOn) {
  ASSERT_TRUE(Handshake().ok());
  handler_.Fail(absl::NotFoundError("layer 2, expert 9 is not held \xff"));
  const Answer answer = Send(*channel_, TestFrame(2, 1, 4, 1));
  EXPECT_EQ(answer.Get().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(answer.Get().status().message(), HasSubstr("layer 2, expert 9 is not held \xff"));
  EXPECT_THAT(answer.Get().status().message(), HasSubstr(channel_->name()));
}

TEST_P(ChannelConformanceTest, RefusesMalformedFramesAndCarriesOn) {
  ASSERT_TRUE(Handshake().ok());
  DispatchFrame unsorted = TestFrame(0, 2, 4, 2);
  std::swap(unsorted.pairs[0], unsorted.pairs[1]);
  EXPECT_EQ(Send(*channel_, unsorted).Get().status().code(), absl::StatusCode::kInvalidArgument);
  DispatchFrame out_of_range = TestFrame(0, 2, 4, 1);
  out_of_range.pairs.back().row = 2;
  EXPECT_EQ(Send(*channel_, out_of_range).Get().status().code(), absl::StatusCode::kInvalidArgument);
  DispatchFrame short_rows = TestFrame(0, 2, 4, 1);
  short_rows.rows = FrameBuffer(31);
  EXPECT_EQ(Send(*channel_, short_rows).Get().status().code(), absl::StatusCode::kInvalidArgument);
  const DispatchFrame good = TestFrame(0, 2, 4, 1);
  ExpectOutputs(Send(*channel_, good).Get(), ExpectedOutputs(good));
}

TEST_P(ChannelConformanceTest, EndsAFrameAtItsDeadlineAndIgnoresTheLateAnswer) {
  ASSERT_TRUE(Handshake().ok());
  handler_.Hold();
  DispatchFrame frame = TestFrame(0, 1, 4, 1);
  frame.deadline = absl::Now() + absl::Milliseconds(30);
  const Answer late = Send(*channel_, frame);
  EXPECT_EQ(late.Get().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(late.Get().status().message(), HasSubstr(channel_->name()));
  handler_.Release();
  const DispatchFrame next = TestFrame(1, 1, 4, 1);
  ExpectOutputs(Send(*channel_, next).Get(), ExpectedOutputs(next));
}

TEST_P(ChannelConformanceTest, RefusesAFrameThatIsLateAlready) {
  ASSERT_TRUE(Handshake().ok());
  DispatchFrame frame = TestFrame(0, 1, 4, 1);
  frame.deadline = absl::Now() - absl::Seconds(1);
  EXPECT_EQ(Send(*channel_, frame).Get().status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_P(ChannelConformanceTest, MatchesAnswersOfManyFramesFromManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kFrames = 50;
  ASSERT_TRUE(Handshake().ok());
  handler_.Hold();  // answers come in another order than the frames
  std::vector<std::vector<Answer>> answers(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int f = 0; f < kFrames; ++f) {
        DispatchFrame frame = TestFrame(t * kFrames + f, 1 + f % 5, 16, 3);
        frame.deadline = absl::Now() + absl::Hours(1);
        answers[t].push_back(Send(*channel_, std::move(frame)));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  handler_.WaitForHeld(kThreads * kFrames);
  handler_.Release();
  for (int t = 0; t < kThreads; ++t) {
    for (int f = 0; f < kFrames; ++f) {
      ExpectOutputs(answers[t][f].Get(), ExpectedOutputs(TestFrame(t * kFrames + f, 1 + f % 5, 16, 3)));
    }
  }
}

TEST_P(ChannelConformanceTest, LoadsExperts) {
  ASSERT_TRUE(Handshake().ok());
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  EXPECT_EQ(channel_->LoadExperts({{1, 2}, {3, 4}}, deadline), absl::OkStatus());
  EXPECT_THAT(handler_.loaded(), ElementsAre(LayerExpert{1, 2}, LayerExpert{3, 4}));
  handler_.Fail(absl::InvalidArgumentError("the model has 8 experts"));
  const absl::Status status = channel_->LoadExperts({{1, 99}}, deadline);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("the model has 8 experts"));
  EXPECT_THAT(status.message(), HasSubstr(channel_->name()));
}

TEST_P(ChannelConformanceTest, DestructionEndsOutstandingFrames) {
  ASSERT_TRUE(Handshake().ok());
  handler_.Hold();
  const Answer answer = Send(*channel_, TestFrame(0, 1, 4, 1));
  handler_.WaitForHeld(1);
  channel_ = nullptr;
  ASSERT_TRUE(answer.ready());
  EXPECT_EQ(answer.Get().status().code(), absl::StatusCode::kUnavailable);
}

INSTANTIATE_TEST_SUITE_P(AllChannels, ChannelConformanceTest,
                         ::testing::Values(Kind::kInProcess, Kind::kGrpcTcp, Kind::kGrpcUnix, Kind::kShm), [](const auto& info) {
                           return std::string(info.param == Kind::kInProcess ? "InProcess"
                                              : info.param == Kind::kGrpcTcp ? "GrpcTcp"
                                              : info.param == Kind::kGrpcUnix ? "GrpcUnix"
                                                                              : "Shm");
                         });

}  // namespace
}  // namespace tandem::transport
