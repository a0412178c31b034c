// A pipeline stage behind the head: computes its layers of every step that comes down the line, and passes messages
// between its neighbours.
//
//   head ──step──▶ stage ──step──▶ next stage        hidden states of direction 0 go the same way
//   head ◀─results, failures, reports─ stage ◀─ …    and those of direction 1 the other
//
// It owns no requests: blocks and positions are the head's. Its KV cache is as old as the line to the stage before;
// with a new line the head assumes nothing of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "router/model_runner.h"
#include "router/stage_handover.h"
#include "router/stage_mailbox.h"
#include "transport/stage_link.h"

namespace tandem::router {

struct PipelineStageOptions {
  scheduler::StageLayout layout;
  transport::StageTerms terms;  // as they concern this stage
  std::string next_stage;       // address; empty for the last one
  ModelRunnerOptions runner;
};

// Thread-safe. To be served by a transport::StageServer, which has to end first.
class PipelineStage : public transport::StageHandler, private StageHandover {
 public:
  // `decoder` and `workers` must outlive the stage. Errors: RESOURCE_EXHAUSTED when the KV cache does not fit.
  static absl::StatusOr<std::unique_ptr<PipelineStage>> Create(const model::Decoder& decoder, WorkerPool& workers,
                                                               PipelineStageOptions options);
  ~PipelineStage() override;

  absl::StatusOr<int64_t> Agree(const transport::StageTerms& wanted, absl::Time deadline) override;
  absl::StatusOr<transport::StageCallbacks> Open(std::shared_ptr<transport::StageLink> link) override;

 private:
  PipelineStage(const model::Decoder& decoder, WorkerPool& workers, PipelineStageOptions options);

  // Computes steps; thread "engine", ended by the destructor.
  void Run();
  void Compute(const transport::StageStep& step);

  absl::StatusOr<int64_t> ConnectNext(const transport::StageTerms& wanted, absl::Time deadline);

  // On transport threads.
  void OnDown(transport::StageMessage message);
  void OnUp(transport::StageMessage message);
  void OnStep(transport::StageStep step);
  void OnPreviousLost(const transport::StageLink* link);
  void OnNextLost(const absl::Status& reason);

  // Up the line, to the head. Lost together with the line.
  void SendUp(const transport::StageMessage& message);

  // StageHandover.
  absl::Status Begin(const transport::StageStep&) override { return absl::OkStatus(); }
  void Expect(uint64_t step, int32_t micro_batch, std::function<void()> arrived) override;
  absl::StatusOr<transport::FrameBuffer> Take(uint64_t step, int32_t micro_batch) override;
  absl::Status Send(const transport::StageRows& rows, int direction) override;

  bool last() const { return options_.terms.stage == options_.layout.num_stages - 1; }

  WorkerPool& workers_;
  const PipelineStageOptions options_;
  transport::StageLimits limits_;
  ExpertCounters counters_;
  ModelRunner runner_;  // engine's thread
  StageMailbox mailbox_;

  absl::Mutex agree_mutex_;  // one handshake at a time; taken before mutex_
  mutable absl::Mutex mutex_;
  bool agreed_ ABSL_GUARDED_BY(mutex_) = false;  // a line may be opened
  std::shared_ptr<transport::StageLink> previous_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<transport::StageLink> next_ ABSL_GUARDED_BY(mutex_);
  std::optional<transport::StageStep> step_ ABSL_GUARDED_BY(mutex_);  // to be computed
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: uses everything above
};

}  // namespace tandem::router
