// Cost of a round trip to a worker that only copies: in-process against shared memory, a Unix socket and TCP on this
// machine. Arguments: rows per frame (hidden size 2048, bfloat16, 8 experts per row) and frames outstanding at a time.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/synchronization/blocking_counter.h"
#include "transport/grpc_channel.h"
#include "transport/grpc_server.h"
#include "transport/in_process_channel.h"

namespace tandem::transport {
namespace {

constexpr int kHidden = 2048;
constexpr int kExpertsPerRow = 8;

// Answers every frame with one prepared buffer.
class PreparedHandler final : public ExpertHandler {
 public:
  explicit PreparedHandler(size_t output_bytes) : outputs_(output_bytes) {}
  WorkerInfo Info() const override { return {}; }
  absl::Status LoadExperts(const std::vector<LayerExpert>&) override { return absl::OkStatus(); }
  void Handle(DispatchFrame, CombineCallback done) override {
    CombineFrame frame;
    frame.outputs = outputs_;
    done(std::move(frame));
  }

 private:
  const FrameBuffer outputs_;
};

DispatchFrame MakeFrame(int num_rows) {
  DispatchFrame frame;
  frame.num_rows = num_rows;
  frame.hidden_size = kHidden;
  frame.dtype = compute::DType::kBF16;
  for (int expert = 0; expert < kExpertsPerRow; ++expert) {
    for (int row = 0; row < num_rows; ++row) {
      frame.pairs.push_back({.row = row, .expert = expert});
    }
  }
  frame.rows = FrameBuffer(static_cast<size_t>(num_rows) * kHidden * 2);
  frame.deadline = absl::Now() + absl::Hours(1);
  return frame;
}

enum class Kind { kInProcess, kShm, kUnix, kTcp };

void RoundTrip(benchmark::State& state, Kind kind) {
  const DispatchFrame frame = MakeFrame(static_cast<int>(state.range(0)));
  const auto outstanding = static_cast<int>(state.range(1));
  PreparedHandler handler(OutputBytes(frame));
  std::unique_ptr<GrpcExpertServer> server;
  std::unique_ptr<ExpertChannel> channel;
  if (kind == Kind::kInProcess) {
    channel = MakeInProcessChannel("local", &handler);
  } else {
    GrpcServerOptions options;
    if (kind != Kind::kTcp) {
      options.listen = "unix:/tmp/tandem-channel-benchmark-" + std::to_string(::getpid()) + ".sock";
    }
    auto started = StartGrpcServer(options, &handler);
    if (!started.ok()) {
      state.SkipWithError(std::string(started.status().message()).c_str());
      return;
    }
    server = *std::move(started);
    GrpcChannelOptions client;
    client.transport = kind == Kind::kShm ? TransportChoice::kShm : TransportChoice::kGrpc;
    channel =
        MakeGrpcChannel(kind == Kind::kTcp ? "127.0.0.1:" + std::to_string(server->port()) : options.listen, client);
  }
  if (const auto info = channel->Handshake({}, absl::Now() + absl::Seconds(10)); !info.ok()) {
    state.SkipWithError(std::string(info.status().message()).c_str());
    return;
  }
  for (auto _ : state) {
    absl::BlockingCounter answers(outstanding);
    for (int i = 0; i < outstanding; ++i) {
      channel->Dispatch(frame, [&](const absl::StatusOr<CombineFrame>& result) {
        benchmark::DoNotOptimize(result.ok());
        answers.DecrementCount();
      });
    }
    answers.Wait();
  }
  state.SetItemsProcessed(state.iterations() * outstanding);
  state.SetBytesProcessed(state.iterations() * outstanding *
                          static_cast<int64_t>(frame.rows.size() + OutputBytes(frame)));
}

void Shapes(benchmark::internal::Benchmark* benchmark) {
  for (const int rows : {1, 16, 256}) {
    benchmark->Args({rows, 1})->Args({rows, 4});
  }
  benchmark->UseRealTime();
}

BENCHMARK_CAPTURE(RoundTrip, InProcess, Kind::kInProcess)->Apply(Shapes);
BENCHMARK_CAPTURE(RoundTrip, Shm, Kind::kShm)->Apply(Shapes);
BENCHMARK_CAPTURE(RoundTrip, Unix, Kind::kUnix)->Apply(Shapes);
BENCHMARK_CAPTURE(RoundTrip, Tcp, Kind::kTcp)->Apply(Shapes);

}  // namespace
}  // namespace tandem::transport

BENCHMARK_MAIN();
