#include "expert_worker/expert_executor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/process_memory.h"
#include "base/status.h"
#include "base/thread_name.h"

namespace tandem::expert_worker {

using transport::CombineCallback;
using transport::CombineFrame;
using transport::DispatchFrame;
using transport::WorkerInfo;

namespace {

WorkerInfo Describe(const WorkerIdentity& identity, const ExpertStore& store, bool draining) {
  return {.worker_id = identity.worker_id,
          .identity = identity.model,
          .weights_bytes = store.weights_bytes(),
          .memory_bytes = ResidentMemoryBytes(),
          .experts_loaded = store.num_experts(),
          .draining = draining};
}

}  // namespace

ExpertExecutor::ExpertExecutor(WorkerIdentity identity, ExecutorOptions options, compute::Backend& backend,
                               ExpertStore& store, ExpertProbe& probe)
    : identity_(std::move(identity)),
      options_(options),
      store_(store),
      probe_(probe),
      runner_(backend, store, identity_.model.wire_dtype, probe),
      queue_(options.queue_capacity, options.max_batch_pairs),
      doorbell_(std::make_shared<transport::Doorbell>(options.spin)),
      thread_([this] {
        SetThreadName("experts");
        Work();
      }) {}

ExpertExecutor::~ExpertExecutor() {
  StopIntake();
  Drain();
}

WorkerInfo ExpertExecutor::Info() const { return Describe(identity_, store_, queue_.closed()); }

absl::Status ExpertExecutor::LoadExperts(const std::vector<LayerExpert>& experts) { return store_.Load(experts); }

void ExpertExecutor::Handle(DispatchFrame frame, CombineCallback done) {
  WaitingFrame waiting{std::move(frame), std::move(done), absl::Now()};
  const PushResult pushed = queue_.TryPush(std::move(waiting));
  if (pushed == PushResult::kOk) {
    doorbell_->Ring();
    return;
  }
  probe_.Rejected();
  waiting.done(pushed == PushResult::kClosed
               ? absl::UnavailableError("draining")
               : absl::ResourceExhaustedError(absl::StrCat(options_.queue_capacity, " frames of this router are waiting already")));
}

void ExpertExecutor::StopIntake() {
  queue_.Close();
  doorbell_->Ring();
}

void ExpertExecutor::Attend(std::shared_ptr<transport::FrameSource> source) {
  {
    absl::MutexLock lock(&source_mutex_);
    source_ = std::move(source);
  }
  doorbell_->Ring();
}

void ExpertExecutor::PollSource() {
  std::shared_ptr<transport::FrameSource> source;
  {
    absl::MutexLock lock(&source_mutex_);
    source = source_;
  }
  if (source != nullptr) {
    source->Poll();
  }
}

void ExpertExecutor::Drain() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

void ExpertExecutor::Work() {
  while (true) {
    doorbell_->Wait([this] {
      PollSource();
      return queue_.size() > 0 || queue_.closed();
    });
    std::vector<WaitingFrame> batch = queue_.TryPopBatch();
    if (batch.empty()) {
      return;  // closed, and nothing is left
    }
    if (options_.awake_cpus != nullptr) {
      options_.awake_cpus->Touch();
    }
    Answer(std::move(batch));
  }
}

bool ExpertExecutor::IsWanted(const WaitingFrame& waiting, absl::Time now) {
  const DispatchFrame& frame = waiting.frame;
  if (frame.origin != nullptr && frame.origin->gone()) {
    probe_.Abandoned();
    waiting.done(absl::CancelledError("the router is gone"));
    return false;
  }
  if (frame.deadline < now) {
    probe_.Expired();
    waiting.done(absl::DeadlineExceededError(absl::StrCat("layer ", frame.layer, ": deadline passed after ",
                                                          absl::FormatDuration(now - waiting.queued_at),
                                                          " in the queue")));
    return false;
  }
  return true;
}

void ExpertExecutor::Answer(std::vector<WaitingFrame> batch) {
  const absl::Time now = absl::Now();
  std::vector<const DispatchFrame*> frames;
  std::vector<const WaitingFrame*> wanted;
  for (const WaitingFrame& waiting : batch) {
    probe_.Waited(now - waiting.queued_at);
    if (IsWanted(waiting, now)) {
      frames.push_back(&waiting.frame);
      wanted.push_back(&waiting);
    }
  }
  std::vector<absl::StatusOr<CombineFrame>> results = runner_.Run(frames);
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].ok()) {
      results[i]->queue_time = now - wanted[i]->queued_at;
    }
    wanted[i]->done(std::move(results[i]));
  }
}

WorkerInfo InlineExperts::Info() const { return Describe(identity_, store_, /*draining=*/false); }

absl::Status InlineExperts::LoadExperts(const std::vector<LayerExpert>& experts) { return store_.Load(experts); }

void InlineExperts::Handle(DispatchFrame frame, CombineCallback done) {
  const DispatchFrame* const frames[] = {&frame};
  done(std::move(runner_.Run(frames)[0]));
}

}  // namespace tandem::expert_worker
