#include "cli/transport_measurement.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/bounded_queue.h"
#include "base/status.h"
#include "base/thread_name.h"
#include "transport/grpc_channel.h"
#include "transport/grpc_server.h"
#include "transport/in_process_channel.h"

namespace tandem::cli {
namespace {

using transport::CombineCallback;
using transport::CombineFrame;
using transport::DispatchFrame;
using transport::FrameBuffer;

constexpr int kSmallWidth = 256;
constexpr int kLargeWidth = 512 * 1024;  // 1 MiB a row in bf16
constexpr int kSmallRepeats = 200;
constexpr int kLargeRepeats = 8;

void Answer(const DispatchFrame& frame, const CombineCallback& done) {
  CombineFrame answer;
  answer.outputs = FrameBuffer(transport::OutputBytes(frame));
  done(std::move(answer));
}

// Answers every frame with as many bytes as experts would, at once: a worker takes frames out of shared memory itself.
class Echo final : public transport::ExpertHandler {
 public:
  transport::WorkerInfo Info() const override { return {}; }
  absl::Status LoadExperts(const std::vector<LayerExpert>&) override { return absl::OkStatus(); }
  void Handle(DispatchFrame frame, CombineCallback done) override { Answer(frame, done); }
};

// The same on a thread of its own, as a worker does with frames that come on other threads.
class ThreadedEcho final : public transport::ExpertHandler {
 public:
  ThreadedEcho() : queue_(16), thread_([this] { Work(); }) {}
  ~ThreadedEcho() override {
    queue_.Close();
    thread_.join();
  }

  transport::WorkerInfo Info() const override { return {}; }
  absl::Status LoadExperts(const std::vector<LayerExpert>&) override { return absl::OkStatus(); }
  void Handle(DispatchFrame frame, CombineCallback done) override {
    Job job{std::move(frame), std::move(done)};
    if (queue_.TryPush(std::move(job)) != PushResult::kOk) {
      job.done(absl::ResourceExhaustedError("the echo is busy"));
    }
  }

 private:
  struct Job {
    DispatchFrame frame;
    CombineCallback done;
  };

  void Work() {
    SetThreadName("echo");
    while (std::optional<Job> job = queue_.Pop()) {
      Answer(job->frame, job->done);
    }
  }

  BoundedQueue<Job> queue_;
  std::thread thread_;
};

DispatchFrame MakeFrame(int width) {
  DispatchFrame frame;
  frame.num_rows = 1;
  frame.hidden_size = width;
  frame.dtype = compute::DType::kBF16;
  frame.pairs.push_back({.row = 0, .expert = 0});
  frame.rows = FrameBuffer(static_cast<size_t>(width) * 2);
  frame.deadline = absl::Now() + absl::Minutes(1);
  return frame;
}

absl::StatusOr<double> RoundTrip(transport::ExpertChannel& channel, int width) {
  const DispatchFrame frame = MakeFrame(width);
  absl::Notification answered;
  absl::Status status;
  const absl::Time begin = absl::Now();
  channel.Dispatch(frame, [&](const absl::StatusOr<CombineFrame>& result) {
    status = result.status();
    answered.Notify();
  });
  answered.WaitForNotification();
  const absl::Duration taken = absl::Now() - begin;
  RETURN_IF_ERROR(status);
  return absl::ToDoubleSeconds(taken);
}

absl::StatusOr<double> MedianRoundTrip(transport::ExpertChannel& channel, int width, int repeats) {
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    ASSIGN_OR_RETURN(seconds.emplace_back(), RoundTrip(channel, width));
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<size_t>(repeats / 2)];
}

absl::StatusOr<TransportSpeed> Measure(std::string name, transport::ExpertChannel& channel, int rounds) {
  RETURN_IF_ERROR(channel.Handshake({}, absl::Now() + absl::Seconds(10)).status());
  RETURN_IF_ERROR(MedianRoundTrip(channel, kLargeWidth, kLargeRepeats).status());  // warms up
  TransportSpeed speed = {.name = std::move(name)};
  ASSIGN_OR_RETURN(speed.round_trip, MedianRoundTrip(channel, kSmallWidth, rounds * kSmallRepeats));
  ASSIGN_OR_RETURN(const double large, MedianRoundTrip(channel, kLargeWidth, rounds * kLargeRepeats));
  speed.bytes_per_second = 2.0 * 2 * kLargeWidth / large;
  return speed;
}

absl::StatusOr<TransportSpeed> MeasureServer(std::string name, const std::string& listen,
                                             transport::TransportChoice choice, transport::ExpertHandler& echo,
                                             int rounds) {
  transport::GrpcServerOptions options;
  if (!listen.empty()) {
    options.listen = listen;
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<transport::GrpcExpertServer> server,
                   transport::StartGrpcServer(options, &echo));
  transport::GrpcChannelOptions client;
  client.transport = choice;
  const std::string address = listen.empty() ? absl::StrCat("127.0.0.1:", server->port()) : listen;
  const std::unique_ptr<transport::ExpertChannel> channel = transport::MakeGrpcChannel(address, client);
  return Measure(std::move(name), *channel, rounds);
}

}  // namespace

absl::StatusOr<std::vector<TransportSpeed>> MeasureTransports(int rounds) {
  std::string folder = (std::filesystem::temp_directory_path() / "tandem-links-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    return absl::InternalError(absl::StrCat("cannot make a folder for sockets: ", folder));
  }
  const absl::Cleanup remove = [&folder] {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  };
  const auto socket = [&](absl::string_view name) { return absl::StrCat("unix:", folder, "/", name, ".sock"); };
  Echo echo;
  ThreadedEcho threaded;
  std::vector<TransportSpeed> speeds;
  const std::unique_ptr<transport::ExpertChannel> direct = transport::MakeInProcessChannel("in-process", &threaded);
  using Choice = transport::TransportChoice;
  ASSIGN_OR_RETURN(speeds.emplace_back(), Measure("in-process", *direct, rounds));
  ASSIGN_OR_RETURN(speeds.emplace_back(), MeasureServer("shm", socket("shm"), Choice::kShm, echo, rounds));
  ASSIGN_OR_RETURN(speeds.emplace_back(), MeasureServer("grpc-unix", socket("grpc"), Choice::kGrpc, threaded, rounds));
  ASSIGN_OR_RETURN(speeds.emplace_back(), MeasureServer("grpc-tcp", "", Choice::kGrpc, threaded, rounds));
  return speeds;
}

}  // namespace tandem::cli
