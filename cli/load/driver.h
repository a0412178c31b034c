// Puts a target under load and collects what the requests measured.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "cli/load/request_meter.h"
#include "cli/load/target.h"
#include "cli/load/workload.h"

namespace tandem::cli {

// Either an open loop (request_rate) or a closed one (concurrency).
struct LoadPlan {
  double request_rate =
      0;                // Poisson arrivals a second, however long answers take; infinite: all at once. 0: closed loop
  int concurrency = 0;  // so many requests at a time, the next one when one ends
  int64_t num_requests = 0;                            // 0: no limit
  absl::Duration duration = absl::InfiniteDuration();  // no request starts later
  uint64_t seed = 0;                                   // of the arrivals
};

struct LoadResult {
  std::vector<RequestRecord> records;  // of the requests that ended, in that order
  absl::Time start;
  absl::Time end;
  int64_t unfinished = 0;  // still running when the run was stopped early
  int peak_in_flight = 0;
  double cpu_cores = 0;  // processor time of this process per second: near 1 it distorts what it measures
};

// For a progress line.
struct LoadState {
  absl::Duration elapsed;
  int64_t sent = 0;
  int64_t done = 0;
  int64_t failed = 0;
  int64_t output_tokens = 0;
};

// Sends the requests of `workload` by `plan` and waits until they have ended, or until `stop` is notified. Calls
// `on_progress` a few times a second, on the calling thread. Requests that were unfinished at a stop may go on until
// `target` is destroyed.
LoadResult RunLoad(const LoadPlan& plan, const Workload& workload, Target& target, const absl::Notification& stop,
                   const std::function<void(const LoadState&)>& on_progress);

}  // namespace tandem::cli
