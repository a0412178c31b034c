#include "transport/simulated_network.h"

#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <limits>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/thread_name.h"
#include "transport/frame_damage.h"
#include "transport/pending_frames.h"

namespace tandem::transport {
namespace {

constexpr size_t kMaxFrames = 4096;
// How long a line's thread spins before a delivery: as late as it woke up lately, which depends on whether its core is
// busy, within these bounds. What it spins it takes from whoever shares the core.
constexpr absl::Duration kLeastSpin = absl::Microseconds(10);
constexpr absl::Duration kMostSpin = absl::Microseconds(100);

// Carries deliveries of one direction to their times. Shared with callbacks of the inner channel, which may come late.
class Line {
 public:
  explicit Line(const NetworkConditions& conditions)
      : latency_(conditions.latency), bytes_per_second_(conditions.bytes_per_second) {}

  // Of what is sent from now on.
  void SetSpeed(absl::Duration latency, double bytes_per_second) {
    absl::MutexLock lock(&mutex_);
    latency_ = latency;
    bytes_per_second_ = bytes_per_second;
  }

  // Calls `deliver` when `bytes` have crossed; `lost` when the line is cut before.
  void Send(size_t bytes, const CrossingFate& fate, std::function<void()> deliver, std::function<void()> lost) {
    bool cut = false;
    {
      absl::MutexLock lock(&mutex_);
      cut = stopping_;
      if (!cut) {
        under_way_.emplace(DueTime(bytes, fate), Parcel{std::move(deliver), std::move(lost)});
        NoteNext();
        changed_.Signal();
      }
    }
    if (cut) {
      lost();
    }
  }

  // Delivers what is due. Costs a load and a look at the clock when nothing is.
  void DeliverDue() {
    while (absl::ToUnixNanos(absl::Now()) >= next_due_ns_.load(std::memory_order_acquire)) {
      std::function<void()> deliver;
      {
        absl::MutexLock lock(&mutex_);
        if (under_way_.empty() || under_way_.begin()->first > absl::Now()) {
          return;
        }
        deliver = TakeFirst();
      }
      deliver();
    }
  }

  // Delivers until the line is cut.
  void Run() {
    while (const std::function<void()> deliver = Next()) {
      deliver();
    }
  }

  void Cut() {
    std::multimap<absl::Time, Parcel> lost;
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
      lost.swap(under_way_);
      NoteNext();
      changed_.Signal();
    }
    for (auto& [due, parcel] : lost) {
      parcel.lost();
    }
  }

 private:
  struct Parcel {
    std::function<void()> deliver;
    std::function<void()> lost;
  };

  absl::Time DueTime(size_t bytes, const CrossingFate& fate) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    free_at_ = std::max(free_at_, absl::Now()) + fate.stall;
    if (bytes_per_second_ > 0) {
      free_at_ += absl::Seconds(static_cast<double>(bytes) / bytes_per_second_);
    }
    return free_at_ + latency_ + fate.delay;
  }

  void NoteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    next_due_ns_.store(under_way_.empty() ? kNever : absl::ToUnixNanos(under_way_.begin()->first),
                       std::memory_order_release);
  }

  std::function<void()> TakeFirst() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::function<void()> deliver = std::move(under_way_.begin()->second.deliver);
    under_way_.erase(under_way_.begin());
    NoteNext();
    return deliver;
  }

  // The next delivery, at its time; null when the line is cut.
  std::function<void()> Next() {
    absl::ReleasableMutexLock lock(&mutex_);
    while (!stopping_) {
      if (under_way_.empty()) {
        changed_.Wait(&mutex_);
        continue;
      }
      const absl::Time due = under_way_.begin()->first;
      if (const absl::Time wake = due - spin_; absl::Now() < wake) {
        if (changed_.WaitWithDeadline(&mutex_, wake)) {
          NoteLateness(absl::Now() - wake);
        }
        continue;
      }
      std::function<void()> deliver = TakeFirst();
      lock.Release();
      while (absl::Now() < due) {
      }
      return deliver;
    }
    return nullptr;
  }

  // Late wake-ups count at once, early ones little by little.
  void NoteLateness(absl::Duration late) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    spin_ = std::clamp(std::max(kLeastSpin + late, 0.9 * spin_), kLeastSpin, kMostSpin);
  }

  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  absl::Mutex mutex_;
  absl::CondVar changed_;
  absl::Duration latency_ ABSL_GUARDED_BY(mutex_);
  double bytes_per_second_ ABSL_GUARDED_BY(mutex_);
  std::multimap<absl::Time, Parcel> under_way_ ABSL_GUARDED_BY(mutex_);
  std::atomic<int64_t> next_due_ns_ = kNever;  // of under_way_, for a look without the lock
  absl::Time free_at_ ABSL_GUARDED_BY(mutex_);
  absl::Duration spin_ ABSL_GUARDED_BY(mutex_) = kMostSpin;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

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
  Path(const std::string& worker, const NetworkConditions& conditions)
      : pending(std::make_shared<PendingFrames>(worker, kMaxFrames, std::make_shared<DeadlineQueue>())),
        out(conditions),
        back(conditions) {}

  void Lose(uint64_t id) const { pending->Complete(id, absl::UnavailableError("lost on the simulated network")); }

  static void SendBack(const std::shared_ptr<Path>& path, const std::shared_ptr<const Journey>& journey,
                       absl::StatusOr<CombineFrame> result) {
    const size_t size = result.ok() ? result->outputs.size() : 0;
    const auto answer = std::make_shared<absl::StatusOr<CombineFrame>>(std::move(result));
    path->back.Send(
        size, journey->fate.back, [path, journey, answer] { path->Return(*journey, *std::move(answer)); },
        [path, journey] { path->Lose(journey->id); });
  }

  const std::shared_ptr<PendingFrames> pending;
  Line out;
  Line back;

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
  void Poll() override { path_->out.DeliverDue(); }

 private:
  const std::shared_ptr<Path> path_;
};

class SimulatedNetworkChannel : public ExpertChannel {
 public:
  SimulatedNetworkChannel(std::unique_ptr<ExpertChannel> inner, const NetworkConditions& conditions)
      : conditions_(conditions), inner_(std::move(inner)), path_(std::make_shared<Path>(inner_->name(), conditions)) {}

  ~SimulatedNetworkChannel() override {
    path_->out.Cut();
    path_->back.Cut();
    for (std::thread& thread : threads_) {
      thread.join();
    }
    path_->pending->Close(absl::UnavailableError("channel closed"));
  }

  // Once at most; without it both ends poll.
  void StartThreads() {
    for (Line Path::*line : {&Path::out, &Path::back}) {
      threads_.emplace_back([path = path_, line] {
        SetThreadName("network");
        prctl(PR_SET_TIMERSLACK, 1UL);  // nanoseconds that the system may let its sleeps grow by; 50 µs otherwise
        ((*path).*line).Run();
      });
    }
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
    if (threads_.empty()) {
      path_->back.DeliverDue();
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
      path_->out.Send(
          journey->frame.rows.size(), journey->fate.out, [this, journey] { Arrive(journey); },
          [path = path_, journey] { path->Lose(journey->id); });
    }
  }

 private:
  // At the worker; on a thread that the channel outlives.
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
  std::atomic<uint64_t> frames_ = 0;
  const std::shared_ptr<Path> path_;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<ExpertChannel> MakeSimulatedNetworkChannel(std::unique_ptr<ExpertChannel> inner,
                                                           const NetworkConditions& conditions) {
  auto channel = std::make_unique<SimulatedNetworkChannel>(std::move(inner), conditions);
  channel->StartThreads();
  return channel;
}

PolledNetwork MakePolledNetworkChannel(std::unique_ptr<ExpertChannel> inner, const NetworkConditions& conditions) {
  auto channel = std::make_unique<SimulatedNetworkChannel>(std::move(inner), conditions);
  PolledNetwork network;
  network.arrivals = channel->arrivals();
  network.set_speed = channel->speed_setter();
  network.channel = std::move(channel);
  return network;
}

}  // namespace tandem::transport
