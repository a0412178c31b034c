// What is particular to experts behind shared memory: lost and hostile peers, back-pressure, draining.
#include "transport/shm_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "absl/synchronization/notification.h"
#include "transport/shm_codec.h"
#include "transport/shm_socket.h"
#include "transport/testing/answers.h"
#include "transport/testing/fake_handler.h"

namespace tandem::transport {
namespace {

using ::testing::HasSubstr;

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

std::string SocketPath() {
  static int next = 0;
  return ::testing::TempDir() + "tandem-shm-" + std::to_string(getpid()) + "-" + std::to_string(next++) + ".sock";
}

std::shared_ptr<ShmServer> Serve(ExpertHandler& handler, int max_outstanding = 256) {
  auto server = ShmServer::Start({.socket_path = SocketPath(), .max_outstanding_frames = max_outstanding}, &handler);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

std::shared_ptr<ShmStream> Connect(const ShmOffer& offer, ShmStreamOptions options = {}) {
  auto pending = std::make_shared<PendingFrames>("w", 1024, std::make_shared<DeadlineQueue>());
  auto stream = ShmStream::Connect(offer, std::move(options), std::move(pending), Soon());
  EXPECT_TRUE(stream.ok()) << stream.status();
  return *std::move(stream);
}

Answer Send(ShmStream& stream, DispatchFrame frame) {
  Answer answer;
  stream.Dispatch(std::move(frame), answer.Callback());
  return answer;
}

// A router that speaks the first words and then writes what it likes.
struct RawRouter {
  explicit RawRouter(const ShmOffer& offer) : segment(*ShmSegment::Create({})) {
    socket = *ConnectUnix(offer.socket_path);
    const ShmHello hello{.instance = offer.instance};
    EXPECT_EQ(SendWithFds(socket, &hello, sizeof(hello), {segment.fd().get(), doorbell.fd().get()}), absl::OkStatus());
    ShmWelcome welcome;
    auto fds = ReceiveWithFds(socket, &welcome, sizeof(welcome), 1, Soon());
    EXPECT_TRUE(fds.ok()) << fds.status();
    worker.emplace(*RemoteDoorbell::Map((*fds)[0]));
  }

  // True when the worker ends the connection.
  bool Refused() {
    char byte;
    pollfd gone{socket.get(), POLLRDHUP, 0};
    poll(&gone, 1, 60'000);
    return recv(socket.get(), &byte, 1, 0) == 0;
  }

  ShmSegment segment;
  Doorbell doorbell{absl::ZeroDuration()};
  UniqueFd socket;
  std::optional<RemoteDoorbell> worker;
};

TEST(ShmServerTest, FramesFarLargerThanTheRingsArrive) {
  FakeHandler handler;
  const auto server = Serve(handler);
  const auto stream = Connect(server->offer(), {.sizes = {.dispatch_bytes = 64 << 10, .combine_bytes = 64 << 10}});
  std::vector<Answer> answers;
  for (int i = 0; i < 4; ++i) {
    answers.push_back(Send(*stream, TestFrame(i, 300, 1024, 2)));  // 1.2 MiB there, 2.4 MiB back
  }
  for (int i = 0; i < 4; ++i) {
    ExpectOutputs(answers[i].Get(), ExpectedOutputs(TestFrame(i, 300, 1024, 2)));
  }
}

TEST(ShmServerTest, ManyFramesThroughASmallRingPushBackAndAllAreAnswered) {
  FakeHandler handler;
  const auto server = Serve(handler, /*max_outstanding=*/4);
  // The answers are kept, and so is their room in the combine ring.
  const auto stream = Connect(server->offer(), {.sizes = {.dispatch_bytes = 64 << 10}});
  handler.Hold();
  std::vector<Answer> answers;
  for (int i = 0; i < 200; ++i) {
    answers.push_back(Send(*stream, TestFrame(i, 4, 256, 3)));
  }
  handler.WaitForHeld(4);
  EXPECT_LE(handler.held(), 4u);
  handler.Release();
  for (int i = 0; i < 200; ++i) {
    ExpectOutputs(answers[i].Get(), ExpectedOutputs(TestFrame(i, 4, 256, 3)));
  }
}

TEST(ShmServerTest, FramesBeyondTheLimitAreRefused) {
  FakeHandler handler;
  const auto server = Serve(handler);
  const auto stream = Connect(server->offer(), {.max_message_bytes = 1 << 20});
  EXPECT_EQ(Send(*stream, TestFrame(0, 300, 1024, 1)).Get().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(stream->open());
}

TEST(ShmServerTest, DrainingAnswersWhatItHasThenTheRouterSeesTheEnd) {
  FakeHandler handler;
  auto server = Serve(handler);
  absl::Notification lost;
  const auto stream = Connect(server->offer(), {.on_lost = [&] { lost.Notify(); }});
  handler.Hold();
  const Answer answer = Send(*stream, TestFrame(0, 2, 8, 2));
  handler.WaitForHeld(1);
  std::thread shutdown([&] { server->Shutdown(Soon()); });
  handler.Release();
  shutdown.join();
  ExpectOutputs(answer.Get(), ExpectedOutputs(TestFrame(0, 2, 8, 2)));
  lost.WaitForNotification();
  EXPECT_FALSE(stream->open());
  EXPECT_EQ(Send(*stream, TestFrame(0, 1, 8, 1)).Get().status().code(), absl::StatusCode::kUnavailable);
}

TEST(ShmServerTest, AKilledWorkerEndsOutstandingFramesAtOnce) {
  const std::string path = SocketPath();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t worker = fork();
  if (worker == 0) {
    FakeHandler handler;
    handler.Hold();
    auto server = ShmServer::Start({.socket_path = path}, &handler);
    const uint64_t instance = server.ok() ? (*server)->offer().instance : 0;
    if (write(ready[1], &instance, sizeof(instance)) == sizeof(instance)) {
      handler.WaitForHeld(1);
      kill(getpid(), SIGKILL);
    }
    _exit(1);
  }
  ShmOffer offer{.socket_path = path};
  ASSERT_EQ(read(ready[0], &offer.instance, sizeof(offer.instance)), static_cast<ssize_t>(sizeof(offer.instance)));
  absl::Notification lost;
  const auto stream = Connect(offer, {.on_lost = [&] { lost.Notify(); }});
  const Answer answer = Send(*stream, TestFrame(0, 1, 8, 1));
  EXPECT_EQ(answer.Get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(answer.Get().status().message(), HasSubstr("connection lost"));
  lost.WaitForNotification();
  int status;
  waitpid(worker, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST(ShmServerTest, AnotherInstanceOrAStrangerIsRefused) {
  FakeHandler handler;
  const auto server = Serve(handler);
  ShmOffer other = server->offer();
  ++other.instance;
  auto pending = std::make_shared<PendingFrames>("w", 8, std::make_shared<DeadlineQueue>());
  EXPECT_EQ(ShmStream::Connect(other, {}, pending, Soon()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server->num_connections(), 0);
}

TEST(ShmServerTest, ARouterThatWritesNonsenseIsCutOffAndOthersGoOn) {
  FakeHandler handler;
  const auto server = Serve(handler);
  const auto neighbour = Connect(server->offer());
  const auto attack = [&](auto write) {
    RawRouter router(server->offer());
    write(router.segment.dispatch());
    router.worker->Ring();
    EXPECT_TRUE(router.Refused());
  };
  attack([](const RingMemory& ring) { ring.control->head = uint64_t{1} << 50; });
  attack([](const RingMemory& ring) { ring.control->head = 64; });  // a record without a length
  const auto write_record = [](const RingMemory& ring, RecordKind kind, uint64_t message_bytes, size_t body_bytes) {
    RingProducer producer(ring);
    const RingProducer::Slot slot = **producer.Reserve(body_bytes);
    std::memset(slot.body, 0xff, body_bytes);
    producer.Commit(slot, body_bytes, kind, message_bytes);
  };
  attack([&](const RingMemory& ring) { write_record(ring, RecordKind::kPart, ~uint64_t{0}, 64); });
  attack([&](const RingMemory& ring) { write_record(ring, RecordKind::kPart, 32, 64); });
  attack([&](const RingMemory& ring) { write_record(ring, RecordKind::kPart, 128, 0); });
  attack([&](const RingMemory& ring) { write_record(ring, RecordKind::kWhole, 0, 3); });
  const DispatchFrame frame = TestFrame(1, 2, 8, 2);
  ExpectOutputs(Send(*neighbour, frame).Get(), ExpectedOutputs(frame));
}

TEST(ShmServerTest, AFrameOfNonsenseIsAnsweredWithItsError) {
  FakeHandler handler;
  const auto server = Serve(handler);
  RawRouter router(server->offer());
  RingProducer producer(router.segment.dispatch());
  const RingProducer::Slot slot = **producer.Reserve(256);
  std::memset(slot.body, 0x7f, 256);
  producer.Commit(slot, 256, RecordKind::kWhole);
  router.worker->Ring();
  RingConsumer answers(router.segment.combine());
  std::optional<RingConsumer::Record> record;
  router.doorbell.Wait([&] {
    record = *answers.Take();
    return record.has_value();
  });
  const ReadCombine answer = ParseCombine(FrameBuffer(record->body, record->header.body_bytes, nullptr));
  EXPECT_EQ(answer.frame_id, 0x7f7f7f7f7f7f7f7fu);
  EXPECT_EQ(answer.result.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem::transport
