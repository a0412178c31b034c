// Brings what was sent over a simulated network to its end at the right time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "transport/network_fate.h"

namespace tandem::transport {

// What is under way on any number of lines, in the order in which it is due. Delivered by one thread at a time, which
// calls either Run or DeliverDue; the rest is thread-safe.
class NetworkCarrier {
 public:
  NetworkCarrier() = default;
  NetworkCarrier(const NetworkCarrier&) = delete;

  // Delivers what is due. Costs a load and a look at the clock when nothing is.
  void DeliverDue();

  // Delivers until Stop. Sleeps until shortly before something is due and spins the rest, so that deliveries are exact
  // to a few microseconds.
  void Run();
  void Stop();

  // Called once: with true when it has crossed, with false when its line was cut before.
  using Ending = std::function<void(bool crossed)>;
  struct Parcel {
    const void* line = nullptr;  // that it is on
    Ending end;
  };
  void Add(absl::Time due, Parcel parcel);

  // Takes away what is on a line and has not been delivered. Returns when no delivery of it is under way; not from one.
  std::vector<Parcel> Remove(const void* line);

 private:
  // How long Run spins before a delivery: as late as it woke up lately, which depends on whether its core is busy,
  // within these bounds. What it spins it takes from whoever shares the core.
  static constexpr absl::Duration kLeastSpin = absl::Microseconds(10);
  static constexpr absl::Duration kMostSpin = absl::Microseconds(100);

  // Gives up the lock while it spins until the first parcel is due, and while it delivers.
  void DeliverFirst() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteLateness(absl::Duration late) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  absl::CondVar changed_;  // something is due earlier, or stopping_
  std::multimap<absl::Time, Parcel> under_way_ ABSL_GUARDED_BY(mutex_);
  const void* delivering_ ABSL_GUARDED_BY(mutex_) = nullptr;  // line of the delivery under way
  std::atomic<int64_t> next_due_ns_{INT64_MAX};               // of under_way_, for a look without the lock
  absl::Duration spin_ ABSL_GUARDED_BY(mutex_) = kMostSpin;   // of Run, before a delivery
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

// One direction between two ends. Thread-safe. May be sent over after Cut, to nobody.
class NetworkLine {
 public:
  // Latency and bandwidth of `conditions` count.
  NetworkLine(std::shared_ptr<NetworkCarrier> carrier, const NetworkConditions& conditions)
      : carrier_(std::move(carrier)), latency_(conditions.latency), bytes_per_second_(conditions.bytes_per_second) {}

  // Of what is sent from now on. bytes_per_second 0: unlimited.
  void SetSpeed(absl::Duration latency, double bytes_per_second);

  void Send(size_t bytes, const CrossingFate& fate, NetworkCarrier::Ending end);

  // What is under way is lost. No delivery is under way when this returns; not from one.
  void Cut();

  NetworkCarrier& carrier() const { return *carrier_; }

 private:
  absl::Time DueTime(size_t bytes, const CrossingFate& fate) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<NetworkCarrier> carrier_;
  absl::Mutex mutex_;  // taken before the carrier's
  absl::Duration latency_ ABSL_GUARDED_BY(mutex_);
  double bytes_per_second_ ABSL_GUARDED_BY(mutex_);
  absl::Time free_at_ ABSL_GUARDED_BY(mutex_);
  bool cut_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tandem::transport
