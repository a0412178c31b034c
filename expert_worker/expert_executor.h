// The two ways in which experts answer frames: on a thread of their own behind a queue (ExpertExecutor, for worker
// processes), or on the thread of whoever asks (InlineExperts, for experts inside the router). Same arithmetic, same
// bits.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/awake_cpus.h"
#include "compute/backend.h"
#include "expert_worker/expert_probe.h"
#include "expert_worker/expert_store.h"
#include "expert_worker/frame_queue.h"
#include "expert_worker/frame_runner.h"
#include "transport/doorbell.h"
#include "transport/expert_channel.h"

namespace tandem::expert_worker {

struct WorkerIdentity {
  std::string worker_id;
  transport::ModelIdentity model;
};

struct ExecutorOptions {
  // Frames of one router that may wait; past it RESOURCE_EXHAUSTED.
  size_t queue_capacity = 1024;
  // Frames for one layer are computed together up to this many (row, expert) pairs.
  int64_t max_batch_pairs = 16384;
  // How long the idle thread spins before it sleeps; see Doorbell.
  absl::Duration spin = transport::kDefaultSpin;
  AwakeCpus* awake_cpus = nullptr;  // touched with every batch; must outlive the executor
};

// One thread ("experts") drives the backend, takes frames that wait for the same layer, from whichever router, and
// computes them as one grouped MLP; whose turn it is, is the business of FrameQueue. Frames past their deadline and those
// of routers that are gone are not computed. Thread-safe. Answers come from the executor's thread.
class ExpertExecutor final : public transport::ExpertHandler {
 public:
  // What is referred to must outlive the executor; the backend is used by nobody else for enqueuing work.
  ExpertExecutor(WorkerIdentity identity, ExecutorOptions options, compute::Backend& backend, ExpertStore& store,
                 ExpertProbe& probe);
  ~ExpertExecutor() override;  // as StopIntake and Drain

  transport::WorkerInfo Info() const override;
  std::vector<transport::LayerStatistics> Statistics() const override { return probe_.Statistics(); }
  absl::Status LoadExperts(const std::vector<LayerExpert>& experts) override;
  void Handle(transport::DispatchFrame frame, transport::CombineCallback done) override;

  // Where the executor's thread waits for frames, for sources that ring when they have some.
  const std::shared_ptr<transport::Doorbell>& doorbell() const { return doorbell_; }

  // From now on the executor's thread polls `source` whenever it has nothing to compute. Once.
  void Attend(std::shared_ptr<transport::FrameSource> source);

  // From now on frames are refused with UNAVAILABLE; those that wait are still computed.
  void StopIntake();

  // After StopIntake: returns when every frame has been answered. Not from a callback.
  void Drain();

  int64_t queue_depth() const { return static_cast<int64_t>(queue_.size()); }

 private:
  void Work();
  void PollSource();
  void Answer(std::vector<WaitingFrame> batch);
  // True when the frame is still wanted; else it has been answered.
  bool IsWanted(const WaitingFrame& waiting, absl::Time now);

  const WorkerIdentity identity_;
  const ExecutorOptions options_;
  ExpertStore& store_;
  ExpertProbe& probe_;
  FrameRunner runner_;
  FrameQueue queue_;
  const std::shared_ptr<transport::Doorbell> doorbell_;
  absl::Mutex source_mutex_;
  std::shared_ptr<transport::FrameSource> source_ ABSL_GUARDED_BY(source_mutex_);
  std::thread thread_;  // last: uses all of the above
};

// Handle must be called by the thread that drives the backend and answers before it returns; the rest is thread-safe.
class InlineExperts final : public transport::ExpertHandler {
 public:
  InlineExperts(WorkerIdentity identity, compute::Backend& backend, ExpertStore& store, ExpertProbe& probe)
      : identity_(std::move(identity)), store_(store), runner_(backend, store, identity_.model.wire_dtype, probe) {}

  transport::WorkerInfo Info() const override;
  absl::Status LoadExperts(const std::vector<LayerExpert>& experts) override;
  void Handle(transport::DispatchFrame frame, transport::CombineCallback done) override;

 private:
  const WorkerIdentity identity_;
  ExpertStore& store_;
  FrameRunner runner_;
};

}  // namespace tandem::expert_worker
