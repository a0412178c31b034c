// The gRPC channel against the least that gRPC can do, in one run: frames of some size stream one way over loopback and
// each is answered by a few bytes, through GrpcChannel and through a bare stream of byte buffers that nobody looks
// into.
#include <benchmark/benchmark.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/lock_checks.h"
#include "transport/grpc_channel.h"
#include "transport/grpc_server.h"

namespace tandem::transport {
namespace {

constexpr int kOutstanding = 4;

// Lets at most kOutstanding messages be under way.
class Window {
 public:
  void Enter() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](int* outstanding) { return *outstanding < kOutstanding; }, &outstanding_));
    ++outstanding_;
  }

  void Leave(bool ok) {
    absl::MutexLock lock(&mutex_);
    failed_ = failed_ || !ok;
    --outstanding_;
  }

  // False if something went wrong meanwhile.
  bool AwaitEmpty() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](int* outstanding) { return *outstanding == 0; }, &outstanding_));
    return !failed_;
  }

 private:
  absl::Mutex mutex_;
  int outstanding_ ABSL_GUARDED_BY(mutex_) = 0;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
};

grpc::ByteBuffer Message(size_t bytes) {
  const grpc::Slice slice(std::string(bytes, 'x'));
  return grpc::ByteBuffer(&slice, 1);
}

// Answers each message by one byte.
class BareService final : public grpc::CallbackGenericService {
 private:
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    Reactor() { StartRead(&incoming_); }

   private:
    void OnReadDone(bool ok) override {
      if (!ok) {
        Finish(grpc::Status::OK);
        return;
      }
      incoming_.Clear();
      StartWrite(&answer_);
    }
    void OnWriteDone(bool ok) override {
      if (ok) {
        StartRead(&incoming_);
      } else {
        Finish(grpc::Status::OK);
      }
    }
    void OnDone() override { delete this; }

    grpc::ByteBuffer incoming_;
    const grpc::ByteBuffer answer_ = Message(1);
  };

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override { return new Reactor(); }
};

class BareStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  BareStream(const std::string& address, size_t message_bytes)
      : message_(Message(message_bytes)),
        stub_(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), Unlimited())) {
    stub_.PrepareBidiStreamingCall(&context_, "/bare/Stream", grpc::StubOptions(), this);
    AddHold();
    StartRead(&answer_);
    StartCall();
  }

  void Send() {
    window_.Enter();
    absl::MutexLock lock(&mutex_);
    if (waiting_++ == 0) {
      StartWrite(&message_);
    }
  }

  bool AwaitAnswers() { return window_.AwaitEmpty(); }

  void Close() {
    StartWritesDone();
    RemoveHold();
    done_.WaitForNotification();
  }

 private:
  static grpc::ChannelArguments Unlimited() {
    grpc::ChannelArguments args;
    args.SetMaxReceiveMessageSize(-1);
    args.SetMaxSendMessageSize(-1);
    return args;
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      window_.Leave(true);
      StartRead(&answer_);
    }
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    if (--waiting_ > 0 && ok) {
      StartWrite(&message_);
    }
  }
  void OnDone(const grpc::Status&) override { done_.Notify(); }

  const grpc::ByteBuffer message_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer answer_;
  Window window_;
  absl::Mutex mutex_;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // to be written; the first is being
  absl::Notification done_;
};

void BareGrpcStream(benchmark::State& state) {
  BareService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterCallbackGenericService(&service);
  builder.SetMaxReceiveMessageSize(-1);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  BareStream stream(absl::StrCat("127.0.0.1:", port), state.range(0));
  for (auto _ : state) {
    stream.Send();
  }
  if (!stream.AwaitAnswers()) {
    state.SkipWithError("a message was not answered");
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  stream.Close();
  server->Shutdown();
}

// Answers every frame with nothing.
class EmptyHandler final : public ExpertHandler {
 public:
  WorkerInfo Info() const override { return {}; }
  absl::Status LoadExperts(const std::vector<LayerExpert>&) override { return absl::OkStatus(); }
  void Handle(DispatchFrame, CombineCallback done) override { done(CombineFrame{}); }
};

void GrpcChannelStream(benchmark::State& state) {
  EmptyHandler handler;
  const auto server = StartGrpcServer({}, &handler);
  if (!server.ok()) {
    state.SkipWithError(std::string(server.status().message()).c_str());
    return;
  }
  const auto channel = MakeGrpcChannel(absl::StrCat("127.0.0.1:", (*server)->port()));
  const auto info = channel->Handshake({}, absl::Now() + absl::Seconds(10));
  if (!info.ok()) {
    state.SkipWithError(std::string(info.status().message()).c_str());
    return;
  }
  DispatchFrame frame;
  frame.num_rows = 1;
  frame.hidden_size = static_cast<int32_t>(state.range(0) / 2);
  frame.dtype = compute::DType::kBF16;
  frame.rows = FrameBuffer(state.range(0));
  frame.deadline = absl::Now() + absl::Hours(1);
  Window window;
  for (auto _ : state) {
    window.Enter();
    channel->Dispatch(frame, [&](const absl::StatusOr<CombineFrame>& result) { window.Leave(result.ok()); });
  }
  if (!window.AwaitEmpty()) {
    state.SkipWithError("a frame was not answered");
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(16 << 10)->Arg(256 << 10)->Arg(1 << 20)->UseRealTime();
}

BENCHMARK(BareGrpcStream)->Apply(Sizes);
BENCHMARK(GrpcChannelStream)->Apply(Sizes);

}  // namespace
}  // namespace tandem::transport

int main(int argc, char** argv) {
  tandem::SkipLockChecksInRelease();  // as the `tandem` binary does
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
