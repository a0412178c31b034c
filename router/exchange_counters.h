// What went to each worker and came back, since the start. Written by the engine, read by metrics.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "router/expert_dispatcher.h"

namespace tandem::router {

// A histogram of durations with fixed bounds. One writer; a reader may see an observation's bucket before its sum.
class LatencyHistogram {
 public:
  static constexpr std::array<double, 12> kBounds = {50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3,
                                                     5e-3,  10e-3,  50e-3,  250e-3, 1,    5};  // seconds

  void Observe(absl::Duration duration) {
    const double seconds = absl::ToDoubleSeconds(duration);
    size_t bucket = 0;
    while (bucket < kBounds.size() && seconds > kBounds[bucket]) {
      ++bucket;
    }
    counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    nanoseconds_.fetch_add(absl::ToInt64Nanoseconds(duration), std::memory_order_relaxed);
  }

  // Observations in bucket i, not in those below it; the last bucket is unbounded.
  uint64_t Count(size_t bucket) const { return counts_[bucket].load(std::memory_order_relaxed); }
  double Sum() const { return 1e-9 * static_cast<double>(nanoseconds_.load(std::memory_order_relaxed)); }

 private:
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<int64_t> nanoseconds_{0};
};

class ExchangeCounters {
 public:
  struct Worker {
    std::atomic<uint64_t> dispatch_bytes{0};
    std::atomic<uint64_t> combine_bytes{0};
    LatencyHistogram round_trip;  // from sending a frame to its answer
    LatencyHistogram wire;        // of it, out and back
  };

  explicit ExchangeCounters(int num_workers) : workers_(num_workers) {}

  void Add(const FlightLeg& leg) {
    Worker& worker = workers_[leg.trip.worker];
    worker.dispatch_bytes.fetch_add(static_cast<uint64_t>(leg.bytes_sent), std::memory_order_relaxed);
    worker.combine_bytes.fetch_add(static_cast<uint64_t>(leg.bytes_received), std::memory_order_relaxed);
    worker.round_trip.Observe(leg.trip.arrived - leg.trip.sent);
    worker.wire.Observe(leg.trip.wire());
  }

  const Worker& Get(int worker) const { return workers_[worker]; }

 private:
  std::vector<Worker> workers_;
};

}  // namespace tandem::router
