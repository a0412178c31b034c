// A worker and its routers over real sockets.
#include "expert_worker/expert_worker_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "expert_worker/testing/random_experts.h"
#include "transport/grpc_channel.h"
#include "transport/in_process_channel.h"
#include "transport/testing/answers.h"

namespace tandem::expert_worker {
namespace {

using compute::DType;
using ::testing::HasSubstr;
using transport::Answer;
using transport::DispatchFrame;
using transport::ExpectOutputs;
using transport::ExpertChannel;
using transport::Send;

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

// A worker with a backend of its own, as in a process of its own.
struct Worker {
  explicit Worker(DType wire_dtype, const std::string& listen = "127.0.0.1:0") {
    ExpertWorkerOptions options;
    options.identity = {.worker_id = "w", .model = TestModel(wire_dtype)};
    options.server.listen = listen;
    options.num_layers = kTestLayers;
    options.num_experts = kTestExperts;
    auto started = ExpertWorkerServer::Start(options, *backend, TestLoader(*backend, DType::kF32));
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
    address = "127.0.0.1:" + std::to_string(server->port());
  }

  std::unique_ptr<compute::Backend> backend = TestBackend(1);
  std::unique_ptr<ExpertWorkerServer> server;
  std::string address;
};

std::unique_ptr<ExpertChannel> Connect(const std::string& address, DType wire_dtype) {
  auto channel = transport::MakeGrpcChannel(address);
  const auto info = channel->Handshake(TestModel(wire_dtype), Soon());
  EXPECT_TRUE(info.ok()) << info.status();
  return channel;
}

class ExpertWorkerServerTest : public ::testing::TestWithParam<DType> {};

TEST_P(ExpertWorkerServerTest, SeveralRoutersGetTheBitsOfInlineExperts) {
  constexpr int kRouters = 3;
  constexpr int kFrames = 20;
  Worker worker(GetParam());
  std::vector<std::vector<Answer>> answers(kRouters);
  std::vector<std::unique_ptr<ExpertChannel>> channels(kRouters);
  std::vector<std::thread> routers;
  for (int r = 0; r < kRouters; ++r) {
    routers.emplace_back([&, r] {
      channels[r] = Connect(worker.address, GetParam());
      ASSERT_EQ(channels[r]->LoadExperts(AllTestExperts(), Soon()), absl::OkStatus());
      for (int f = 0; f < kFrames; ++f) {
        answers[r].push_back(Send(*channels[r], RandomFrame(r * kFrames + f, f % kTestLayers, 1 + f, GetParam())));
      }
    });
  }
  for (std::thread& router : routers) {
    router.join();
  }

  const auto backend = TestBackend(2);
  ExpertStore store(TestLoader(*backend, DType::kF32));
  ExpertProbe probe(kTestLayers, kTestExperts);
  InlineExperts inline_experts({.worker_id = "inline", .model = TestModel(GetParam())}, *backend, store, probe);
  const auto local = transport::MakeInProcessChannel("inline", &inline_experts);
  ASSERT_TRUE(local->Handshake(TestModel(GetParam()), Soon()).ok());
  ASSERT_EQ(local->LoadExperts(AllTestExperts(), Soon()), absl::OkStatus());
  for (int r = 0; r < kRouters; ++r) {
    for (int f = 0; f < kFrames; ++f) {
      const Answer expected = Send(*local, RandomFrame(r * kFrames + f, f % kTestLayers, 1 + f, GetParam()));
      ASSERT_TRUE(expected.Get().ok()) << expected.Get().status();
      ExpectOutputs(answers[r][f].Get(), expected.Get()->outputs);
    }
  }
  EXPECT_EQ(worker.server->probe().frames(), kRouters * kFrames);
}

INSTANTIATE_TEST_SUITE_P(WireDTypes, ExpertWorkerServerTest,
                         ::testing::Values(DType::kF32, DType::kBF16, DType::kF8E4M3),
                         [](const auto& info) { return std::string(compute::DTypeName(info.param)); });

// Keeps the worker's thread in the callback of a first frame until it is destroyed.
class Occupied {
 public:
  explicit Occupied(Worker& worker) {
    worker.server->executor().Handle(RandomFrame(0, 0, 1, DType::kF32), [this](const auto& result) {
      EXPECT_TRUE(result.ok()) << result.status();
      busy_.Notify();
      go_.WaitForNotification();
      over_.Notify();
    });
    busy_.WaitForNotification();
  }
  ~Occupied() {
    go_.Notify();
    over_.WaitForNotification();
  }

 private:
  absl::Notification busy_, go_, over_;
};

void AwaitQueueDepth(Worker& worker, int64_t frames) {
  const absl::Time deadline = Soon();
  while (worker.server->executor().queue_depth() != frames && absl::Now() < deadline) std::this_thread::yield();
  ASSERT_EQ(worker.server->executor().queue_depth(), frames);
}

TEST(ExpertWorkerRoutersTest, FramesOfOneLayerFromDifferentRoutersAreComputedTogether) {
  Worker worker(DType::kF32);
  const auto first = Connect(worker.address, DType::kF32);
  const auto second = Connect(worker.address, DType::kF32);
  ASSERT_EQ(first->LoadExperts(AllTestExperts(), Soon()), absl::OkStatus());
  std::vector<Answer> answers;
  {
    const Occupied occupied(worker);
    for (int i = 0; i < 6; ++i) {
      answers.push_back(Send(i % 2 == 0 ? *first : *second, RandomFrame(i, 1 + i / 4, 2, DType::kF32)));
    }
    AwaitQueueDepth(worker, 6);
  }
  for (const Answer& answer : answers) {
    EXPECT_TRUE(answer.Get().ok()) << answer.Get().status();
  }
  EXPECT_EQ(worker.server->probe().frames(), 1 + 6);
  EXPECT_EQ(worker.server->probe().batches(), 1 + 2) << "one for each layer";
  EXPECT_EQ(worker.server->probe().layer(1).frames, 4);
  EXPECT_EQ(worker.server->probe().layer(1).batches, 1);
}

TEST(ExpertWorkerLifecycleTest, SaysWhichExpertItLacksAndLoadsItWhenAsked) {
  Worker worker(DType::kF32);
  const auto channel = Connect(worker.address, DType::kF32);
  DispatchFrame frame = RandomFrame(1, 2, 1, DType::kF32);
  frame.pairs = {{.row = 0, .expert = 4}};
  const Answer missing = Send(*channel, frame);
  EXPECT_EQ(missing.Get().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(missing.Get().status().message(), HasSubstr("layer 2, expert 4"));
  ASSERT_EQ(channel->LoadExperts({{2, 4}}, Soon()), absl::OkStatus());
  EXPECT_TRUE(Send(*channel, frame).Get().ok());
  EXPECT_EQ(channel->LoadExperts({{2, kTestExperts}}, Soon()).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ExpertWorkerLifecycleTest, ShutdownAnswersWhatItTookAndARestartServesAgain) {
  auto worker = std::make_unique<Worker>(DType::kF32);
  const std::string address = worker->address;
  const auto channel = Connect(address, DType::kF32);
  ASSERT_EQ(channel->LoadExperts(AllTestExperts(), Soon()), absl::OkStatus());
  std::vector<Answer> answers;
  for (int i = 0; i < 50; ++i) {
    answers.push_back(Send(*channel, RandomFrame(i, i % kTestLayers, 8, DType::kF32)));
  }
  worker->server->Shutdown(absl::Now() + absl::Seconds(60));
  for (const Answer& answer : answers) {
    const absl::StatusCode code = answer.Get().status().code();
    EXPECT_TRUE(code == absl::StatusCode::kOk || code == absl::StatusCode::kUnavailable) << answer.Get().status();
  }
  const Answer refused = Send(*channel, RandomFrame(0, 0, 1, DType::kF32));
  EXPECT_EQ(refused.Get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(channel->Handshake(TestModel(DType::kF32), Soon()).status().code(), absl::StatusCode::kUnavailable);
  worker = nullptr;

  Worker restarted(DType::kF32, address);
  ASSERT_TRUE(channel->Handshake(TestModel(DType::kF32), Soon()).ok());
  ASSERT_EQ(channel->LoadExperts(AllTestExperts(), Soon()), absl::OkStatus());
  EXPECT_TRUE(Send(*channel, RandomFrame(0, 0, 1, DType::kF32)).Get().ok());
}

TEST(ExpertWorkerLifecycleTest, AnAddressInUseIsAnError) {
  Worker worker(DType::kF32);
  ExpertWorkerOptions options;
  options.identity.model = TestModel(DType::kF32);
  options.server.listen = worker.address;
  const auto second = ExpertWorkerServer::Start(options, *worker.backend, TestLoader(*worker.backend, DType::kF32));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr(worker.address));
}

}  // namespace
}  // namespace tandem::expert_worker
