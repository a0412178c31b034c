// What is particular to experts behind gRPC: lost connections, draining, hostile peers, health and limits.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "tandem/expert/v1/expert_service.grpc.pb.h"
#include "transport/frame_codec.h"
#include "transport/grpc_channel.h"
#include "transport/grpc_server.h"
#include "transport/testing/answers.h"
#include "transport/testing/fake_handler.h"

namespace tandem::transport {
namespace {

using ::testing::HasSubstr;
namespace wire = ::tandem::expert::v1;

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

std::unique_ptr<GrpcExpertServer> Serve(ExpertHandler& handler, GrpcServerOptions options = {}) {
  auto server = StartGrpcServer(std::move(options), &handler);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

std::string AddressOf(const GrpcExpertServer& server) { return "127.0.0.1:" + std::to_string(server.port()); }

std::unique_ptr<ExpertChannel> Connect(const std::string& address, GrpcChannelOptions options = {}) {
  auto channel = MakeGrpcChannel(address, std::move(options));
  const auto info = channel->Handshake(TestIdentity(), Soon());
  EXPECT_TRUE(info.ok()) << info.status();
  return channel;
}

TEST(GrpcExchangeTest, NobodyAtTheAddressIsUnavailable) {
  FakeHandler handler;
  auto server = Serve(handler);
  const auto channel = MakeGrpcChannel(AddressOf(*server));
  server = nullptr;
  const auto info = channel->Handshake(TestIdentity(), Soon());
  EXPECT_EQ(info.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(info.status().message(), HasSubstr(channel->name()));
  EXPECT_FALSE(channel->ready());
}

TEST(GrpcExchangeTest, LosingTheWorkerEndsEveryOutstandingFrameAndANewHandshakeHeals) {
  FakeHandler handler;
  auto server = Serve(handler);
  const std::string address = AddressOf(*server);
  absl::Notification lost;
  GrpcChannelOptions options;
  options.on_lost = [&] { lost.Notify(); };
  const auto channel = Connect(address, std::move(options));
  handler.Hold();
  std::vector<Answer> answers;
  for (int i = 0; i < 20; ++i) {
    answers.push_back(Send(*channel, TestFrame(i, 2, 8, 2)));
  }
  handler.WaitForHeld(20);
  // The server cannot end before the handler has answered; the channel must not wait for that.
  std::thread killer([&] { server->Shutdown(absl::InfinitePast()); });
  for (const Answer& answer : answers) {
    EXPECT_EQ(answer.Get().status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(answer.Get().status().message(), HasSubstr(address));
  }
  lost.WaitForNotification();
  EXPECT_FALSE(channel->ready());
  handler.Release();
  killer.join();
  server = nullptr;
  EXPECT_EQ(Send(*channel, TestFrame(0, 1, 1, 1)).Get().status().code(), absl::StatusCode::kUnavailable);

  GrpcServerOptions again;
  again.listen = address;
  server = Serve(handler, again);
  ASSERT_TRUE(channel->Handshake(TestIdentity(), Soon()).ok());
  EXPECT_TRUE(channel->ready());
  const DispatchFrame frame = TestFrame(4, 2, 8, 2);
  ExpectOutputs(Send(*channel, frame).Get(), ExpectedOutputs(frame));
}

TEST(GrpcExchangeTest, DrainingAnswersWhatWasTakenBeforeTheStreamEnds) {
  FakeHandler handler;
  const auto server = Serve(handler);
  const auto channel = Connect(AddressOf(*server));
  handler.Hold();
  std::vector<Answer> answers;
  for (int i = 0; i < 10; ++i) {
    answers.push_back(Send(*channel, TestFrame(i, 2, 8, 2)));
  }
  handler.WaitForHeld(10);
  std::thread drain([&] { server->Shutdown(absl::Now() + absl::Minutes(10)); });
  handler.Release();
  for (int i = 0; i < 10; ++i) {
    ExpectOutputs(answers[i].Get(), ExpectedOutputs(TestFrame(i, 2, 8, 2)));
  }
  drain.join();
}

TEST(GrpcExchangeTest, AUnixSocketLeftByADeadWorkerIsTakenOver) {
  const std::string path = ::testing::TempDir() + "tandem-left-over-" + std::to_string(::getpid()) + ".sock";
  GrpcServerOptions options;
  options.listen = "unix:" + path;
  FakeHandler handler;
  auto server = Serve(handler, options);
  std::filesystem::rename(path, path + ".kept");
  server = nullptr;
  std::filesystem::rename(path + ".kept", path);  // as if the worker had been killed
  server = Serve(handler, options);
  EXPECT_EQ(server->port(), 0);
  const auto channel = Connect(options.listen);
  EXPECT_TRUE(Send(*channel, TestFrame(0, 1, 1, 1)).Get().ok());
}

TEST(GrpcExchangeTest, BoundsWhatIsOutstanding) {
  FakeHandler handler;
  GrpcServerOptions server_options;
  server_options.max_outstanding_frames = 3;
  const auto server = Serve(handler, server_options);
  GrpcChannelOptions channel_options;
  channel_options.max_outstanding_frames = 8;
  const auto channel = Connect(AddressOf(*server), channel_options);
  handler.Hold();
  std::vector<Answer> answers;
  for (int i = 0; i < 8; ++i) {
    answers.push_back(Send(*channel, TestFrame(i, 1, 8, 1)));
  }
  const Answer refused = Send(*channel, TestFrame(9, 1, 8, 1));
  ASSERT_TRUE(refused.ready());
  EXPECT_EQ(refused.Get().status().code(), absl::StatusCode::kResourceExhausted);
  handler.WaitForHeld(3);
  EXPECT_LE(handler.held(), 3u) << "the server takes no more than its bound";
  handler.Release();
  for (int i = 0; i < 8; ++i) {
    ExpectOutputs(answers[i].Get(), ExpectedOutputs(TestFrame(i, 1, 8, 1)));
  }
}

TEST(GrpcExchangeTest, AnotherProtocolVersionIsRefusedNamingBoth) {
  FakeHandler handler;
  const auto server = Serve(handler);
  const auto stub =
      wire::ExpertService::NewStub(grpc::CreateChannel(AddressOf(*server), grpc::InsecureChannelCredentials()));
  wire::HandshakeRequest request;
  request.set_protocol_version(kProtocolVersion + 41);
  wire::HandshakeResponse response;
  grpc::ClientContext context;
  const grpc::Status status = stub->Handshake(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("router has 42, worker has 1"));
}

TEST(GrpcExchangeTest, GetInfoNeedsNoHandshake) {
  FakeHandler handler;
  const auto server = Serve(handler);
  const auto stub =
      wire::ExpertService::NewStub(grpc::CreateChannel(AddressOf(*server), grpc::InsecureChannelCredentials()));
  wire::GetInfoResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub->GetInfo(&context, {}, &response).ok());
  EXPECT_EQ(response.info().identity().checkpoint_digest(), "c0ffee");
  EXPECT_EQ(response.protocol_version(), kProtocolVersion);
}

class CountingHandler final : public FakeHandler {
 public:
  std::vector<LayerStatistics> Statistics() const override {
    return {{.layer = 3, .frames = 4, .frame_experts = 7, .batches = 2, .batch_experts = 5, .expert_tokens = {0, 6, 2}}};
  }
};

TEST(GrpcExchangeTest, GetInfoTellsStatisticsWhenAsked) {
  CountingHandler handler;
  const auto server = Serve(handler);
  const auto stub =
      wire::ExpertService::NewStub(grpc::CreateChannel(AddressOf(*server), grpc::InsecureChannelCredentials()));
  for (const bool asked : {false, true}) {
    wire::GetInfoRequest request;
    request.set_with_statistics(asked);
    wire::GetInfoResponse response;
    grpc::ClientContext context;
    ASSERT_TRUE(stub->GetInfo(&context, request, &response).ok());
    ASSERT_EQ(response.layers_size(), asked ? 1 : 0);
    if (!asked) continue;
    const wire::LayerStatistics& layer = response.layers(0);
    EXPECT_EQ(layer.layer(), 3);
    EXPECT_EQ(layer.frames(), 4);
    EXPECT_EQ(layer.frame_experts(), 7);
    EXPECT_EQ(layer.batches(), 2);
    EXPECT_EQ(layer.batch_experts(), 5);
    EXPECT_THAT(layer.expert_tokens(), ::testing::ElementsAre(0, 6, 2));
  }
}

// Loads an expert only when it is let.
class SlowLoader final : public ExpertHandler {
 public:
  WorkerInfo Info() const override { return {.identity = TestIdentity()}; }
  absl::Status LoadExperts(const std::vector<LayerExpert>& experts) override {
    absl::MutexLock lock(&mutex_);
    ++started_;
    mutex_.Await(absl::Condition(&go_));
    loaded_ += static_cast<int>(experts.size());
    return absl::OkStatus();
  }
  void Handle(DispatchFrame, CombineCallback done) override { done(absl::UnimplementedError("")); }

  void AwaitStart() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(+[](int* started) { return *started > 0; }, &started_));
  }
  void Go() {
    absl::MutexLock lock(&mutex_);
    go_ = true;
  }
  int loaded() const {
    absl::MutexLock lock(&mutex_);
    return loaded_;
  }

 private:
  mutable absl::Mutex mutex_;
  int started_ ABSL_GUARDED_BY(mutex_) = 0;
  int loaded_ ABSL_GUARDED_BY(mutex_) = 0;
  bool go_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(GrpcExchangeTest, LoadingEndsWithTheRouterThatAskedForIt) {
  SlowLoader loader;
  const auto server = Serve(loader);
  auto channel = Connect(AddressOf(*server));
  absl::Status status;
  std::thread router([&] {
    status = channel->LoadExperts(std::vector<LayerExpert>(200'000, {.layer = 0, .expert = 1}), Soon());
  });
  loader.AwaitStart();
  channel->CancelCalls();
  router.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(channel->LoadExperts({{0, 1}}, Soon()).code(), absl::StatusCode::kCancelled) << "it stays so";
  // On the same connection, hence behind the cancellation.
  EXPECT_EQ(Send(*channel, TestFrame(0, 1, 1, 1)).Get().status().code(), absl::StatusCode::kUnimplemented);
  loader.Go();
  server->Shutdown(Soon());  // waits for the call
  EXPECT_LT(loader.loaded(), 200'000);
}

TEST(GrpcExchangeTest, LoadExpertsRefusesListsOfDifferentLengths) {
  FakeHandler handler;
  const auto server = Serve(handler);
  const auto stub =
      wire::ExpertService::NewStub(grpc::CreateChannel(AddressOf(*server), grpc::InsecureChannelCredentials()));
  wire::LoadExpertsRequest request;
  request.add_layers(1);
  wire::LoadExpertsResponse response;
  grpc::ClientContext context;
  EXPECT_EQ(stub->LoadExperts(&context, request, &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

// A peer that sends whatever bytes it likes.
class RawStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit RawStream(const std::string& address)
      : stub_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())) {}

  void AskForChecksums() { context_.AddMetadata(kChecksumsMetadata, "1"); }

  // Sends one message and returns how the stream ended.
  grpc::Status SendAndAwaitEnd(const std::string& bytes) {
    const grpc::Slice slice(bytes);
    return SendAndAwaitEnd(grpc::ByteBuffer(&slice, 1));
  }
  grpc::Status SendAndAwaitEnd(grpc::ByteBuffer message) {
    message_ = std::move(message);
    stub_.PrepareBidiStreamingCall(&context_, "/tandem.expert.v1.ExpertService/Exchange", grpc::StubOptions(), this);
    StartWrite(&message_);
    StartRead(&answer_);
    StartCall();
    done_.WaitForNotification();
    return status_;
  }

 private:
  void OnReadDone(bool ok) override {
    if (ok) {
      StartRead(&answer_);
    }
  }
  void OnDone(const grpc::Status& status) override {
    status_ = status;
    done_.Notify();
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer message_;
  grpc::ByteBuffer answer_;
  grpc::Status status_;
  absl::Notification done_;
};

TEST(GrpcExchangeTest, UnreadableBytesEndThatStreamOnly) {
  FakeHandler handler;
  const auto server = Serve(handler);
  const auto channel = Connect(AddressOf(*server));
  const grpc::Status status = RawStream(AddressOf(*server)).SendAndAwaitEnd("\xff\xff\xff");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("not a protobuf message"));
  EXPECT_TRUE(Send(*channel, TestFrame(0, 1, 1, 1)).Get().ok());
}

TEST(GrpcExchangeTest, ChecksumsOnBothWays) {
  FakeHandler handler;
  const auto server = Serve(handler);
  GrpcChannelOptions options;
  options.checksums = true;
  const auto checked = Connect(AddressOf(*server), std::move(options));
  const auto plain = Connect(AddressOf(*server));
  const DispatchFrame frame = TestFrame(2, 3, 8, 2);
  for (const auto& channel : {checked.get(), plain.get()}) {
    ExpectOutputs(Send(*channel, frame).Get(), ExpectedOutputs(frame));
  }
  const absl::Status error = absl::NotFoundError("no such expert");
  handler.Fail(error);
  EXPECT_EQ(Send(*checked, frame).Get().status().code(), error.code());
}

TEST(GrpcExchangeTest, AStreamWithChecksumsTakesNoMessageWithout) {
  FakeHandler handler;
  const auto server = Serve(handler);
  RawStream stream(AddressOf(*server));
  stream.AskForChecksums();
  const grpc::Status status = stream.SendAndAwaitEnd(EncodeDispatch(1, TestFrame(0, 1, 1, 1), absl::Now()));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("no checksum"));
}

// Asks grpc.health.v1 with the bytes that its messages have: field 1 of both is the name, or the state.
int HealthOf(const std::string& address, const std::string& service) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  std::string request;
  if (!service.empty()) {
    request.push_back(0x0a);
    request.push_back(static_cast<char>(service.size()));
    request.append(service);
  }
  const grpc::Slice slice(request);
  const grpc::ByteBuffer message(&slice, 1);
  grpc::ByteBuffer response;
  grpc::ClientContext context;
  absl::Notification done;
  grpc::Status status;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &message, &response,
                 [&](grpc::Status s) {
                   status = std::move(s);
                   done.Notify();
                 });
  done.WaitForNotification();
  std::vector<grpc::Slice> slices;
  if (!status.ok() || !response.Dump(&slices).ok() || slices.empty() || slices[0].size() != 2) {
    return -static_cast<int>(status.error_code());
  }
  return slices[0].begin()[1];
}

TEST(GrpcExchangeTest, HealthFollowsServing) {
  constexpr int kServing = 1;
  constexpr int kNotServing = 2;
  FakeHandler handler;
  const auto server = Serve(handler);
  for (const std::string service : {"", "tandem.expert.v1.ExpertService"}) {
    EXPECT_EQ(HealthOf(AddressOf(*server), service), kNotServing);
    server->SetServing(true);
    EXPECT_EQ(HealthOf(AddressOf(*server), service), kServing);
    server->SetServing(false);
    EXPECT_EQ(HealthOf(AddressOf(*server), service), kNotServing);
  }
  EXPECT_EQ(HealthOf(AddressOf(*server), "nobody"), -static_cast<int>(grpc::StatusCode::NOT_FOUND));
}

}  // namespace
}  // namespace tandem::transport
