// The head's connection to the other pipeline stages: keeps the line to the next one, sends steps and rows down it and
// collects what comes back.
//
// When any stage is lost the whole line is: the step under way fails with UNAVAILABLE, the line is made anew as soon as
// all stages are there, and what the head believed to be in their KV caches is gone (TakeRenewed).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "router/stage_handover.h"
#include "router/stage_mailbox.h"
#include "transport/deadline_queue.h"
#include "transport/stage_link.h"

namespace tandem::router {

// Time of one stage so far.
struct StageTotals {
  uint64_t steps = 0;
  double busy_seconds = 0;
  double expert_wait_seconds = 0;
  double stage_wait_seconds = 0;
};

// Thread-safe.
class StageChain : public StageHandover {
 public:
  struct Options {
    std::string address;                              // of stage 1
    transport::StageTerms terms;                      // as they concern stage 1
    absl::Duration step_timeout = absl::Seconds(60);  // for all stages to finish a step
    absl::Duration connect_timeout = absl::Seconds(10);
    absl::Duration initial_backoff = absl::Milliseconds(50);
    absl::Duration max_backoff = absl::Seconds(2);
  };

  explicit StageChain(Options options);
  ~StageChain() override;

  // Waits until all stages are connected. Errors: FAILED_PRECONDITION at once when one has other terms,
  // DEADLINE_EXCEEDED with the last reason. `progress` is told of each change.
  absl::Status WaitUntilReady(absl::Time deadline, const std::function<void(const std::string&)>& progress);

  // OK while steps can be computed; else UNAVAILABLE with the reason.
  absl::Status Health() const;

  // Of the smallest KV cache among the stages behind the head, once they were connected.
  int64_t kv_blocks() const;
  // From now on a line of stages with less is refused.
  void RequireKvBlocks(int64_t blocks);

  // True once for every line that was made: KV caches of the other stages hold nothing that is known. Steps of a line
  // that was not taken note of fail.
  bool TakeRenewed();

  absl::Status Begin(const transport::StageStep& step) override;
  void Expect(uint64_t step, int32_t micro_batch, std::function<void()> arrived) override;
  absl::StatusOr<transport::FrameBuffer> Take(uint64_t step, int32_t micro_batch) override;
  absl::Status Send(const transport::StageRows& rows, int direction) override;

  // Of stages 1, 2, …
  std::vector<StageTotals> Totals() const;

 private:
  // Keeps the line up; thread "next-stage", ended by the destructor.
  void KeepConnected();
  absl::Status Connect();
  void OnMessage(transport::StageMessage message);
  void OnLost(const absl::Status& reason);
  void AddReport(const transport::StageReport& report);
  std::shared_ptr<transport::StageLink> link() const;

  const Options options_;
  StageMailbox mailbox_;

  mutable absl::Mutex mutex_;
  std::shared_ptr<transport::StageLink> link_ ABSL_GUARDED_BY(mutex_);  // null while there is none
  absl::Status error_ ABSL_GUARDED_BY(mutex_) = absl::UnavailableError("not connected yet");  // why there is none
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;     // the link is to be replaced
  bool renewed_ ABSL_GUARDED_BY(mutex_) = false;  // see TakeRenewed
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t kv_blocks_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t required_kv_blocks_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<StageTotals> totals_ ABSL_GUARDED_BY(mutex_);
  transport::DeadlineQueue deadlines_;
  transport::DeadlineQueue::Key step_deadline_;  // of the present step; engine's thread
  std::thread thread_;                           // last: uses everything above
};

}  // namespace tandem::router
