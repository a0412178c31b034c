// Shared memory against what it could be at best, in one run: the round trip of a payload through a ShmStream and a
// ShmServer against a bare ring between two threads, both with one copy in and one copy out at each side; and the rate
// of frames one way, left where they lie, against memcpy. The sides are bound to two CPUs where there are two. Round
// trips report their p50 and p99 in microseconds.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/cpu_affinity.h"
#include "base/lock_checks.h"
#include "base/spin.h"
#include "transport/shm_server.h"
#include "transport/shm_stream.h"

namespace tandem::transport {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<int> Cpu(size_t index) {
  const std::vector<int> cpus = AvailableCpus();
  return cpus.size() > index ? std::vector<int>{cpus[index]} : std::vector<int>();
}

// Times of single round trips, each of a message that was made before.
class RoundTrips {
 public:
  template <typename Make, typename Exchange>
  void Run(benchmark::State& state, const Make& make, const Exchange& exchange) {
    for (auto _ : state) {
      auto message = make();
      const Clock::time_point begin = Clock::now();
      exchange(std::move(message));
      micros_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
    std::sort(micros_.begin(), micros_.end());
    state.counters["p50_us"] = micros_[micros_.size() / 2];
    state.counters["p99_us"] = micros_[micros_.size() * 99 / 100];
  }

 private:
  std::vector<double> micros_;
};

// One direction of the bare ring: slots of one size, written in place by one thread and read in place by the other.
class BareRing {
 public:
  explicit BareRing(size_t message_bytes) : message_bytes_(message_bytes), data_(kSlots * message_bytes) {}

  void Send(const std::byte* message) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    while (head - tail_.load(std::memory_order_acquire) == kSlots) {
      SpinPause();
    }
    std::memcpy(data_.data() + head % kSlots * message_bytes_, message, message_bytes_);
    head_.store(head + 1, std::memory_order_release);
  }

  // False when `stop` was set before a message came.
  bool Receive(std::byte* to, const std::atomic<bool>& stop) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    while (head_.load(std::memory_order_acquire) == tail) {
      SpinPause();
      if (stop.load(std::memory_order_relaxed)) {
        return false;
      }
    }
    std::memcpy(to, data_.data() + tail % kSlots * message_bytes_, message_bytes_);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

 private:
  static constexpr uint64_t kSlots = 4;
  const size_t message_bytes_;
  std::vector<std::byte> data_;
  alignas(64) std::atomic<uint64_t> head_ = 0;
  alignas(64) std::atomic<uint64_t> tail_ = 0;
};

void BareRingRoundTrip(benchmark::State& state) {
  const std::vector<std::byte> message(state.range(0));
  BareRing there(message.size());
  BareRing back(message.size());
  std::atomic<bool> stop = false;
  std::thread echo([&] {
    const ScopedCpuAffinity affinity(Cpu(1));
    const std::vector<std::byte> answer(message.size());
    std::vector<std::byte> received(message.size());
    while (there.Receive(received.data(), stop)) {
      back.Send(answer.data());
    }
  });
  {
    const ScopedCpuAffinity affinity(Cpu(0));
    std::vector<std::byte> received(message.size());
    RoundTrips().Run(
        state, [&] { return message.data(); },
        [&](const std::byte* bytes) {
          there.Send(bytes);
          back.Receive(received.data(), stop);
        });
  }
  stop = true;
  echo.join();
}

void CopyOut(const FrameBuffer& from, FrameBuffer& to) {
  if (from.size() > 0) {
    std::memcpy(to.mutable_bytes().data(), from.data(), from.size());
  }
}

// What one side writes shares no cache line with the other side's, as if they were processes.
constexpr size_t kCacheLine = 64;

// Answers every frame with one prepared buffer; copies frames out if they are as long as that.
class alignas(kCacheLine) PreparedHandler final : public ExpertHandler {
 public:
  explicit PreparedHandler(size_t output_bytes) : outputs_(output_bytes), received_(output_bytes) {}
  WorkerInfo Info() const override { return {}; }
  absl::Status LoadExperts(const std::vector<LayerExpert>&) override { return absl::OkStatus(); }
  void Handle(DispatchFrame frame, CombineCallback done) override {
    if (frame.rows.size() == received_.size()) {
      CopyOut(frame.rows, received_);
    }
    ++frames_;
    done(CombineFrame{.outputs = outputs_});
  }
  int64_t frames() const { return frames_; }  // so far; on the worker's thread

 private:
  const FrameBuffer outputs_;
  FrameBuffer received_;
  int64_t frames_ = 0;
};

// A frame of `bytes` with `pairs` pairs, each of which is answered by as many bytes.
DispatchFrame MakeFrame(int64_t bytes, int pairs) {
  DispatchFrame frame;
  frame.num_rows = 1;
  frame.hidden_size = static_cast<int32_t>(bytes / 2);
  frame.dtype = compute::DType::kBF16;
  for (int expert = 0; expert < pairs; ++expert) {
    frame.pairs.push_back({.row = 0, .expert = expert});
  }
  frame.rows = FrameBuffer(bytes);
  std::memset(frame.rows.mutable_bytes().data(), 1, bytes);
  frame.deadline = absl::Now() + absl::Hours(1);
  return frame;
}

// A worker and a router as in the product: each side's own thread polls its rings and waits at its doorbell.
class Pair {
 public:
  explicit Pair(size_t output_bytes)
      : handler_(output_bytes),
        received_(output_bytes),
        doorbell_(std::make_shared<Doorbell>(kDefaultSpin)),
        worker_doorbell_(std::make_shared<Doorbell>(kDefaultSpin)) {}

  absl::Status Start() {
    const std::string path = absl::StrCat("/tmp/tandem-shm-benchmark-", getpid(), ".sock");
    auto server = ShmServer::Start({.socket_path = path, .doorbell = worker_doorbell_}, &handler_);
    if (!server.ok()) {
      return server.status();
    }
    server_ = *std::move(server);
    {
      const ScopedCpuAffinity affinity(Cpu(1));
      worker_.emplace("worker", *worker_doorbell_, [this] {
        const int64_t before = handler_.frames();
        server_->Poll();
        return handler_.frames() > before;
      });
    }
    auto pending = std::make_shared<PendingFrames>("worker", 1024, std::make_shared<DeadlineQueue>());
    auto stream = ShmStream::Connect(server_->offer(), {.doorbell = doorbell_}, std::move(pending),
                                     absl::Now() + absl::Seconds(10));
    if (stream.ok()) {
      stream_ = *std::move(stream);
    }
    return stream.status();
  }

  ~Pair() {
    stream_ = nullptr;
    worker_.reset();
  }

  void Send(DispatchFrame frame) {
    ++outstanding_;
    stream_->Dispatch(std::move(frame), [this](const absl::StatusOr<CombineFrame>& result) {
      if (result.ok()) {
        CopyOut(result->outputs, received_);
      }
      failed_ = failed_ || !result.ok();
      --outstanding_;
    });
  }

  void WaitUntilFewerThan(int count) {
    doorbell_->Wait([&] {
      stream_->Poll();
      return outstanding_ < count;
    });
  }

  bool failed() const { return failed_; }

 private:
  PreparedHandler handler_;
  FrameBuffer received_;
  const std::shared_ptr<Doorbell> doorbell_;
  const std::shared_ptr<Doorbell> worker_doorbell_;
  std::shared_ptr<ShmServer> server_;
  std::shared_ptr<ShmStream> stream_;
  int outstanding_ = 0;  // answers come on the thread that polls
  bool failed_ = false;
  std::optional<PollThread> worker_;
};

void ShmRoundTrip(benchmark::State& state) {
  const DispatchFrame frame = MakeFrame(state.range(0), 1);
  Pair pair(OutputBytes(frame));
  const absl::Status started = pair.Start();
  const ScopedCpuAffinity affinity(Cpu(0));
  if (started.ok()) {
    RoundTrips().Run(
        state, [&] { return frame; },  // a router hands its own over; copying the pairs is no part of the way
        [&](DispatchFrame sent) {
          pair.Send(std::move(sent));
          pair.WaitUntilFewerThan(1);
        });
  }
  if (!started.ok() || pair.failed()) {
    state.SkipWithError("no connection, or a frame was not answered");
  }
}

// One end of a link: sends a message as long as the last part of a frame, takes one and copies it out.
class alignas(kCacheLine) LinkEnd {
 public:
  LinkEnd(ShmSegment segment, ShmLink::Side side, const Doorbell& peer, size_t bytes)
      : link_(std::make_shared<ShmLink>(std::move(segment), side, *RemoteDoorbell::Map(peer.fd()), uint64_t{1} << 30)),
        message_(bytes),
        received_(bytes) {}

  void Send() { failed_ = failed_ || !link_->Send(lead_, {message_.bytes()}).ok(); }

  // False when `stop` was set before a message came.
  bool Receive(const std::atomic<bool>& stop) {
    while (link_->Idle()) {
      SpinPause();
      if (stop.load(std::memory_order_relaxed)) {
        return false;
      }
    }
    const auto message = link_->Receive();
    if (message.ok() && message->has_value()) {
      std::memcpy(received_.mutable_bytes().data(), (*message)->data() + kLeadBytes, received_.size());
    } else {
      failed_ = true;
    }
    return true;
  }

  bool failed() const { return failed_; }

 private:
  const std::shared_ptr<ShmLink> link_;
  const std::array<std::byte, 32> lead_ = {};
  const FrameBuffer message_;
  FrameBuffer received_;
  bool failed_ = false;
};

// Messages alone, without what a frame needs besides: ids, deadlines, checks of its parts, callbacks.
void ShmLinkRoundTrip(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  const Doorbell router_bell(absl::ZeroDuration());
  const Doorbell worker_bell(absl::ZeroDuration());
  auto segment = ShmSegment::Create(SegmentSizes());
  auto adopted =
      segment.ok() ? ShmSegment::Adopt(UniqueFd(dup(segment->fd().get())), SegmentSizes()) : segment.status();
  if (!adopted.ok()) {
    state.SkipWithError("no shared memory");
    return;
  }
  LinkEnd router(*std::move(segment), ShmLink::Side::kRouter, worker_bell, bytes);
  std::atomic<bool> stop = false;
  bool worker_failed = false;
  std::thread echo([&] {
    const ScopedCpuAffinity affinity(Cpu(1));
    LinkEnd worker(*std::move(adopted), ShmLink::Side::kWorker, router_bell, bytes);
    while (worker.Receive(stop)) {
      worker.Send();
    }
    worker_failed = worker.failed();
  });
  {
    const ScopedCpuAffinity affinity(Cpu(0));
    RoundTrips().Run(
        state, [] { return 0; },
        [&](int) {
          router.Send();
          router.Receive(stop);
        });
  }
  stop = true;
  echo.join();
  if (router.failed() || worker_failed) {
    state.SkipWithError("a message was lost");
  }
}

void ShmOneWay(benchmark::State& state) {
  const DispatchFrame frame = MakeFrame(state.range(0), 0);
  Pair pair(0);
  const absl::Status started = pair.Start();
  const ScopedCpuAffinity affinity(Cpu(0));
  if (started.ok()) {
    for (auto _ : state) {
      pair.Send(frame);
      pair.WaitUntilFewerThan(3);  // as many as the ring holds
    }
    pair.WaitUntilFewerThan(1);
  }
  if (!started.ok() || pair.failed()) {
    state.SkipWithError("no connection, or a frame was not answered");
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

// Copies as the sender does: one message again and again, to memory as large as the ring.
void Memcpy(benchmark::State& state) {
  const ScopedCpuAffinity affinity(Cpu(0));
  const std::vector<std::byte> message(state.range(0));
  std::vector<std::byte> to(SegmentSizes().dispatch_bytes);
  size_t offset = 0;
  for (auto _ : state) {
    std::memcpy(to.data() + offset, message.data(), message.size());
    benchmark::ClobberMemory();
    offset = (offset + message.size()) % to.size();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(64)->Arg(4 << 10)->Arg(16 << 10)->Arg(256 << 10)->Arg(1 << 20)->UseRealTime();
}

BENCHMARK(BareRingRoundTrip)->Apply(Sizes);
BENCHMARK(ShmLinkRoundTrip)->Apply(Sizes);
BENCHMARK(ShmRoundTrip)->Apply(Sizes);
BENCHMARK(Memcpy)->Arg(1 << 20)->UseRealTime();
BENCHMARK(ShmOneWay)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace tandem::transport

int main(int argc, char** argv) {
  tandem::SkipLockChecksInRelease();  // as the `tandem` binary does
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
