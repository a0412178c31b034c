#include "transport/simulated_network.h"

#include <sys/prctl.h>

#include <atomic>
#include <functional>
#include <utility>

#include "base/thread_name.h"
#include "transport/frame_damage.h"
#include "transport/pending_frames.h"

namespace tandem::transport {
namespace {

constexpr size_t kMaxFrames = 4096;

// One frame's way there and back. Held by whatever happens to it next.
struct Journey {
  uint64_t id = 0;  // among the pending frames
  DispatchFrame frame;
  FrameFate fate;
};

// The router's end and the lines. Shared with answers, which may come after the channel is gone; it must not own the
// inner channel, which may not be destroyed on a thread that answers.
class Path {
 public:
  Path(const std::string& worker, const NetworkConditions& conditions, std::shared_ptr<NetworkCarrier> there,
       std::shared_ptr<NetworkCarrier> home)
      : pending(std::make_shared<PendingFrames>(worker, kMaxFrames, std::make_shared<DeadlineQueue>())),
        out(std::move(there), conditions),
        back(std::move(home), conditions) {}

  void Lose(uint64_t id) const { pending->Complete(id, absl::UnavailableError("lost on the simulated network")); }

  static void SendBack(const std::shared_ptr<Path>& path, const std::shared_ptr<const Journey>& journey,
                       absl::StatusOr<CombineFrame> result) {
    const size_t size = result.ok() ? result->outputs.size() : 0;
    const auto answer = std::make_shared<absl::StatusOr<CombineFrame>>(std::move(result));
    path->back.Send(size, journey->fate.back, [path, journey, answer](bool crossed) {
      if (crossed) {
        path->Return(*journey, *std::move(answer));
      } else {
        path->Lose(journey->id);
      }
    });
  }

  const std::shared_ptr<PendingFrames> pending;
  NetworkLine out;
  NetworkLine back;

 private:
  void Return(const Journey& journey, absl::StatusOr<CombineFrame> result) const {
    if (journey.fate.back.damage_seed == 0) {
      pending->Complete(journey.id, std::move(result));
      return;
    }
    DecodedCombine damaged = DamagedCombine(journey.id, result, journey.fate.back.damage_seed);
    if (damaged.frame_id == 0) {
      Lose(journey.id);
    } else {
      pending->Complete(damaged.frame_id, std::move(damaged.result));
    }
  }
};

// What the worker polls where no thread carries frames to it.
class Arrivals final : public FrameSource {
 public:
  explicit Arrivals(std::shared_ptr<Path> path) : path_(std::move(path)) {}
  void Poll() override { path_->out.carrier().DeliverDue(); }

 private:
  const std::shared_ptr<Path> path_;
};

class SimulatedNetworkChannel : public ExpertChannel {
 public:
  // `thread` delivers; null: both ends poll.
  SimulatedNetworkChannel(std::unique_ptr<ExpertChannel> inner, const NetworkConditions& conditions,
                          std::shared_ptr<NetworkThread> thread)
      : conditions_(conditions),
        inner_(std::move(inner)),
        thread_(std::move(thread)),
        path_(std::make_shared<Path>(inner_->name(), conditions, NewCarrier(), NewCarrier())) {}

  ~SimulatedNetworkChannel() override {
    path_->out.Cut();
    path_->back.Cut();
    path_->pending->Close(absl::UnavailableError("channel closed"));
  }

  std::function<void(absl::Duration, double)> speed_setter() const {
    return [path = path_](absl::Duration latency, double bytes_per_second) {
      path->out.SetSpeed(latency, bytes_per_second);
      path->back.SetSpeed(latency, bytes_per_second);
    };
  }

  std::shared_ptr<FrameSource> arrivals() const { return std::make_shared<Arrivals>(path_); }

  const std::string& name() const override { return inner_->name(); }
  bool ready() const override { return inner_->ready(); }
  absl::string_view transport() const override { return inner_->transport(); }
  void Poll() override {
    inner_->Poll();
    if (thread_ == nullptr) {
      path_->back.carrier().DeliverDue();
    }
  }
  void CancelCalls() override { inner_->CancelCalls(); }
  absl::StatusOr<WorkerInfo> Handshake(const ModelIdentity& router, absl::Time deadline) override {
    return inner_->Handshake(router, deadline);
  }
  absl::Status LoadExperts(const std::vector<LayerExpert>& experts, absl::Time deadline) override {
    return inner_->LoadExperts(experts, deadline);
  }

  void Dispatch(DispatchFrame frame, CombineCallback done) override {
    const auto journey = std::make_shared<Journey>();
    journey->fate = FateOf(conditions_, frames_++);
    journey->id = path_->pending->Add(frame, std::move(done));
    if (journey->id == 0) {
      return;
    }
    if (journey->fate.lost) {
      path_->Lose(journey->id);
      return;
    }
    journey->frame = std::move(frame);
    for (int copies = journey->fate.duplicated ? 2 : 1; copies > 0; --copies) {
      path_->out.Send(journey->frame.rows.size(), journey->fate.out, [this, journey](bool crossed) {
        if (crossed) {
          Arrive(journey);
        } else {
          path_->Lose(journey->id);
        }
      });
    }
  }

 private:
  std::shared_ptr<NetworkCarrier> NewCarrier() const {
    return thread_ == nullptr ? std::make_shared<NetworkCarrier>() : thread_->carrier();
  }

  // At the worker; not after Cut.
  void Arrive(const std::shared_ptr<const Journey>& journey) {
    DispatchFrame frame = journey->frame;
    if (const uint64_t seed = journey->fate.out.damage_seed; seed != 0) {
      DecodedDispatch damaged = DamagedDispatch(journey->id, frame, seed);
      if (damaged.frame_id == 0) {
        path_->Lose(journey->id);
        return;
      }
      if (!damaged.frame.ok()) {
        Path::SendBack(path_, journey, damaged.frame.status());
        return;
      }
      frame = *std::move(damaged.frame);
    }
    inner_->Dispatch(std::move(frame), [path = path_, journey](absl::StatusOr<CombineFrame> result) {
      Path::SendBack(path, journey, std::move(result));
    });
  }

  const NetworkConditions conditions_;
  const std::unique_ptr<ExpertChannel> inner_;
  const std::shared_ptr<NetworkThread> thread_;
  std::atomic<uint64_t> frames_ = 0;
  const std::shared_ptr<Path> path_;
};

}  // namespace

NetworkThread::NetworkThread()
    : carrier_(std::make_shared<NetworkCarrier>()), thread_([carrier = carrier_] {
        SetThreadName("network");
        prctl(PR_SET_TIMERSLACK, 1UL);  // nanoseconds that the system may let its sleeps grow by; 50 µs otherwise
        carrier->Run();
      }) {}

NetworkThread::~NetworkThread() {
  carrier_->Stop();
  thread_.join();
}

std::unique_ptr<ExpertChannel> MakeSimulatedNetworkChannel(std::unique_ptr<ExpertChannel> inner,
                                                           const NetworkConditions& conditions,
                                                           std::shared_ptr<NetworkThread> thread) {
  if (thread == nullptr) {
    thread = std::make_shared<NetworkThread>();
  }
  return std::make_unique<SimulatedNetworkChannel>(std::move(inner), conditions, std::move(thread));
}

PolledNetwork MakePolledNetworkChannel(std::unique_ptr<ExpertChannel> inner, const NetworkConditions& conditions) {
  auto channel = std::make_unique<SimulatedNetworkChannel>(std::move(inner), conditions, nullptr);
  PolledNetwork network;
  network.arrivals = channel->arrivals();
  network.set_speed = channel->speed_setter();
  network.channel = std::move(channel);
  return network;
}

}  // namespace tandem::transport
