#include "transport/simulated_network.h"

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/thread_name.h"

namespace tandem::transport {
namespace {

constexpr absl::Duration kSpin = absl::Microseconds(100);  // a sleeping thread wakes up this late at worst, mostly

// Carries deliveries to their times. Shared with callbacks of the inner channel, which may come late.
class Wire {
 public:
  explicit Wire(const NetworkConditions& conditions) : conditions_(conditions), random_(conditions.seed) {}

  enum Direction { kOut = 0, kBack = 1 };

  // Calls `deliver` when `bytes` have crossed; `lost` when the wire is cut before.
  void Send(Direction direction, size_t bytes, std::function<void()> deliver, std::function<void()> lost) {
    bool cut = false;
    {
      absl::MutexLock lock(&mutex_);
      cut = stopping_;
      if (!cut) {
        under_way_.emplace(DueTime(direction, bytes), Parcel{std::move(deliver), std::move(lost)});
        changed_.Signal();
      }
    }
    if (cut) {
      lost();
    }
  }

  bool Loses() {
    absl::MutexLock lock(&mutex_);
    return conditions_.loss > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < conditions_.loss;
  }

  void Run() {
    while (const std::function<void()> deliver = Next()) {
      deliver();
    }
  }

  void Stop() {
    std::multimap<absl::Time, Parcel> lost;
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
      lost.swap(under_way_);
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

  absl::Time DueTime(Direction direction, size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    absl::Time& free_at = free_at_[direction];
    free_at = std::max(free_at, absl::Now());
    if (conditions_.bytes_per_second > 0) {
      free_at += absl::Seconds(static_cast<double>(bytes) / conditions_.bytes_per_second);
    }
    return free_at + conditions_.latency + conditions_.jitter * std::uniform_real_distribution<double>(0, 1)(random_);
  }

  // The next delivery, at its time; null when the wire is stopped.
  std::function<void()> Next() {
    absl::ReleasableMutexLock lock(&mutex_);
    while (!stopping_) {
      if (under_way_.empty()) {
        changed_.Wait(&mutex_);
        continue;
      }
      const absl::Time due = under_way_.begin()->first;
      if (absl::Now() + kSpin < due) {
        changed_.WaitWithDeadline(&mutex_, due - kSpin);
        continue;
      }
      std::function<void()> deliver = std::move(under_way_.begin()->second.deliver);
      under_way_.erase(under_way_.begin());
      lock.Release();
      while (absl::Now() < due) {
      }
      return deliver;
    }
    return nullptr;
  }

  const NetworkConditions conditions_;
  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::multimap<absl::Time, Parcel> under_way_ ABSL_GUARDED_BY(mutex_);
  absl::Time free_at_[2] ABSL_GUARDED_BY(mutex_);
  std::mt19937_64 random_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

class SimulatedNetworkChannel : public ExpertChannel {
 public:
  SimulatedNetworkChannel(std::unique_ptr<ExpertChannel> inner, const NetworkConditions& conditions)
      : inner_(std::shared_ptr<ExpertChannel>(std::move(inner))), wire_(std::make_shared<Wire>(conditions)) {
    thread_ = std::thread([wire = wire_] {
      SetThreadName("network");
      wire->Run();
    });
  }

  ~SimulatedNetworkChannel() override {
    wire_->Stop();
    thread_.join();
  }

  const std::string& name() const override { return inner_->name(); }
  bool ready() const override { return inner_->ready(); }
  absl::string_view transport() const override { return inner_->transport(); }
  void Poll() override { inner_->Poll(); }
  absl::StatusOr<WorkerInfo> Handshake(const ModelIdentity& router, absl::Time deadline) override {
    return inner_->Handshake(router, deadline);
  }
  absl::Status LoadExperts(const std::vector<LayerExpert>& experts, absl::Time deadline) override {
    return inner_->LoadExperts(experts, deadline);
  }

  void Dispatch(DispatchFrame frame, CombineCallback done) override {
    const auto callback = std::make_shared<CombineCallback>(std::move(done));
    const auto lost = [callback, name = inner_->name()] {
      (*callback)(absl::UnavailableError(absl::StrCat("expert worker ", name, ": lost on the simulated network")));
    };
    if (wire_->Loses()) {
      lost();
      return;
    }
    const size_t bytes = frame.rows.size();
    const auto travelling = std::make_shared<DispatchFrame>(std::move(frame));
    wire_->Send(
        Wire::kOut, bytes,
        [inner = inner_, wire = wire_, travelling, callback, lost] {
          inner->Dispatch(std::move(*travelling), [wire, callback, lost](absl::StatusOr<CombineFrame> result) {
            const size_t size = result.ok() ? result->outputs.size() : 0;
            const auto answer = std::make_shared<absl::StatusOr<CombineFrame>>(std::move(result));
            wire->Send(Wire::kBack, size, [callback, answer] { (*callback)(std::move(*answer)); }, lost);
          });
        },
        lost);
  }

 private:
  const std::shared_ptr<ExpertChannel> inner_;
  const std::shared_ptr<Wire> wire_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ExpertChannel> MakeSimulatedNetworkChannel(std::unique_ptr<ExpertChannel> inner,
                                                           const NetworkConditions& conditions) {
  return std::make_unique<SimulatedNetworkChannel>(std::move(inner), conditions);
}

}  // namespace tandem::transport
