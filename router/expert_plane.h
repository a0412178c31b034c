// The router's side of the expert plane: its workers, which of them holds which expert, and one layer's round trip.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "scheduler/placement.h"
#include "transport/doorbell.h"
#include "transport/expert_channel.h"

namespace tandem::router {

// Connects to workers, loads each one's share of the experts, and reconnects to those that were lost. Thread-safe.
class WorkerPool {
 public:
  struct Options {
    absl::Duration connect_timeout = absl::Seconds(5);   // one handshake
    absl::Duration load_timeout = absl::Minutes(30);     // one worker's LoadExperts
    absl::Duration check_interval = absl::Seconds(1);    // how often an idle worker is looked at
    absl::Duration initial_backoff = absl::Milliseconds(50);
    absl::Duration max_backoff = absl::Seconds(2);
    // Where the engine waits for answers, rung by the channels that were given it; null: the pool makes one.
    std::shared_ptr<transport::Doorbell> doorbell;
  };

  enum class WorkerState : uint8_t { kConnecting, kLoading, kReady, kLost, kRefused };

  struct WorkerStatus {
    std::string name;             // as the worker calls itself; its address before the first handshake
    WorkerState state = WorkerState::kConnecting;
    int64_t experts = 0;          // of the placement
    transport::WorkerInfo info;   // of the last handshake
    std::string transport;        // "in-process", "shm" or "grpc"; empty before the first connection
    absl::Status error;           // why it is lost or was refused
  };

  // Makes the channel to one worker; the channel calls `on_lost` on any thread when an established connection breaks.
  using ChannelFactory = std::function<std::unique_ptr<transport::ExpertChannel>(std::function<void()> on_lost)>;

  WorkerPool(const std::vector<ChannelFactory>& factories, transport::ModelIdentity identity,
             scheduler::Placement placement, Options options);
  ~WorkerPool();  // stops the connection threads

  // Waits until every expert is covered. Errors: the reason of a refused worker at once (FAILED_PRECONDITION),
  // DEADLINE_EXCEEDED naming what is missing. `progress` is told of each change.
  absl::Status WaitUntilReady(absl::Time deadline, const std::function<void(const std::string&)>& progress);

  // OK when every expert is covered; else UNAVAILABLE ("1/2 workers ready, waiting for …").
  absl::Status Health() const;
  std::vector<WorkerStatus> Status() const;

  int num_workers() const { return static_cast<int>(channels_.size()); }
  bool IsReady(int worker) const;
  transport::ExpertChannel& channel(int worker) { return *channels_[worker]; }
  const scheduler::Placement& placement() const { return placement_; }

  const std::shared_ptr<transport::Doorbell>& doorbell() const { return options_.doorbell; }

  // Delivers answers that have arrived over channels that ring the doorbell, on the calling thread.
  void Poll();

  // To be called when a dispatch found the worker gone: it is reconnected in the background.
  void ReportLost(int worker, const absl::Status& error);

 private:
  // Keeps one worker connected; one thread a worker ("conn-<i>"), ended by the destructor.
  void KeepConnected(int worker);
  absl::Status Connect(int worker);
  void SetState(int worker, WorkerState state, absl::Status error);
  bool AllReady() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::string Describe() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const transport::ModelIdentity identity_;
  const scheduler::Placement placement_;
  Options options_;  // constant after construction

  mutable absl::Mutex mutex_;
  std::vector<WorkerStatus> status_ ABSL_GUARDED_BY(mutex_);
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<transport::ExpertChannel>> channels_;  // constant after construction
  std::vector<std::thread> threads_;  // last: they use everything above
};

}  // namespace tandem::router
