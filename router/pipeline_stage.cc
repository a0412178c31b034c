#include "router/pipeline_stage.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread_name.h"

namespace tandem::router {

using transport::StageLink;
using transport::StageMessage;
using transport::StageStep;
using transport::StageTerms;

PipelineStage::PipelineStage(const model::Decoder& decoder, WorkerPool& workers, PipelineStageOptions options)
    : workers_(workers),
      options_(std::move(options)),
      limits_({.num_directions = options_.layout.num_directions(),
               .num_kv_blocks = options_.runner.num_kv_blocks,
               .kv_block_size = options_.runner.kv_block_size,
               .max_batch_tokens = options_.runner.max_batch_tokens,
               .max_model_len = options_.terms.max_model_len,
               .vocab_size = decoder.spec().vocab_size}),
      counters_(decoder.spec().num_layers(), decoder.spec().gate.num_experts),
      runner_(decoder, workers, counters_, options_.runner,
              {.layout = options_.layout, .stage = options_.terms.stage, .handover = this}) {}

absl::StatusOr<std::unique_ptr<PipelineStage>> PipelineStage::Create(const model::Decoder& decoder, WorkerPool& workers,
                                                                     PipelineStageOptions options) {
  std::unique_ptr<PipelineStage> stage(new PipelineStage(decoder, workers, std::move(options)));
  RETURN_IF_ERROR(stage->runner_.Allocate());
  stage->thread_ = std::thread([s = stage.get()] {
    SetThreadName("engine");
    s->Run();
  });
  return stage;
}

PipelineStage::~PipelineStage() {
  std::shared_ptr<StageLink> next;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    next = std::exchange(next_, nullptr);
  }
  mailbox_.FailPresent(absl::CancelledError("the stage ends"));
  if (thread_.joinable()) {
    thread_.join();
  }
  if (next != nullptr) {
    next->Close();
  }
}

absl::StatusOr<int64_t> PipelineStage::Agree(const StageTerms& wanted, absl::Time deadline) {
  RETURN_IF_ERROR(transport::CheckTerms(wanted, options_.terms));
  absl::MutexLock agreeing(&agree_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    if (previous_ != nullptr) {
      return absl::UnavailableError("the stage serves another router");
    }
    agreed_ = false;
  }
  RETURN_IF_ERROR(workers_.Health());
  int64_t kv_blocks = options_.runner.num_kv_blocks;
  if (!last()) {
    ASSIGN_OR_RETURN(const int64_t behind, ConnectNext(wanted, deadline));
    kv_blocks = std::min(kv_blocks, behind);
  }
  absl::MutexLock lock(&mutex_);
  agreed_ = true;
  return kv_blocks;
}

absl::StatusOr<int64_t> PipelineStage::ConnectNext(const StageTerms& wanted, absl::Time deadline) {
  std::shared_ptr<StageLink> old;
  {
    absl::MutexLock lock(&mutex_);
    old = std::exchange(next_, nullptr);
  }
  if (old != nullptr) {
    old->Close();
  }
  StageTerms terms = wanted;
  ++terms.stage;
  terms.layers = options_.layout.RangesOf(terms.stage);
  transport::StageCallbacks callbacks = {.on_message = [this](StageMessage message) { OnUp(std::move(message)); },
                                         .on_lost = [this](const absl::Status& reason) { OnNextLost(reason); }};
  ASSIGN_OR_RETURN(transport::ConnectedStage connected,
                   transport::ConnectStage(options_.next_stage, terms, std::move(callbacks), deadline));
  absl::MutexLock lock(&mutex_);
  next_ = std::move(connected.link);
  return connected.kv_blocks;
}

absl::StatusOr<transport::StageCallbacks> PipelineStage::Open(std::shared_ptr<StageLink> link) {
  absl::MutexLock lock(&mutex_);
  if (!std::exchange(agreed_, false)) {
    return absl::FailedPreconditionError("a line begins with a handshake of its own");
  }
  const StageLink* const id = link.get();
  previous_ = std::move(link);
  spdlog::info("stage {} is in use", options_.terms.stage);
  return transport::StageCallbacks{.on_message = [this](StageMessage message) { OnDown(std::move(message)); },
                                   .on_lost = [this, id](const absl::Status&) { OnPreviousLost(id); }};
}

void PipelineStage::OnPreviousLost(const StageLink* link) {
  {
    absl::MutexLock lock(&mutex_);
    if (previous_.get() != link) {
      return;
    }
    previous_ = nullptr;
    step_.reset();
  }
  spdlog::info("stage {} waits for a router", options_.terms.stage);
  mailbox_.FailPresent(absl::CancelledError("the router before is gone"));
}

void PipelineStage::OnNextLost(const absl::Status& reason) {
  const absl::Status lost = Annotate(reason, absl::StrCat("stage ", options_.terms.stage + 1));
  mailbox_.FailPresent(absl::CancelledError("the next stage is lost"));
  SendUp(transport::StageFailure{.step = 0, .error = lost});
}

void PipelineStage::OnDown(StageMessage message) {
  if (auto* step = std::get_if<StageStep>(&message)) {
    OnStep(std::move(*step));
  } else if (auto* rows = std::get_if<transport::StageRows>(&message)) {
    mailbox_.Deliver(rows->step, rows->micro_batch, std::move(rows->rows));
  }
}

void PipelineStage::OnUp(StageMessage message) {
  auto* rows = std::get_if<transport::StageRows>(&message);
  if (rows != nullptr && !rows->result) {
    mailbox_.Deliver(rows->step, rows->micro_batch, std::move(rows->rows));
  } else {
    SendUp(message);
  }
}

// Passed on before it is computed, so that all stages know a step early.
void PipelineStage::OnStep(StageStep step) {
  absl::Status status = transport::ValidateStep(step, limits_);
  std::shared_ptr<StageLink> next;
  {
    absl::MutexLock lock(&mutex_);
    next = next_;
  }
  if (status.ok()) {
    mailbox_.Begin(step.step, step.micro_batches.size());
  }
  if (status.ok() && !last()) {
    status = next == nullptr ? absl::UnavailableError("the next stage is lost") : next->Send(step);
  }
  if (!status.ok()) {
    SendUp(transport::StageFailure{.step = step.step,
                                   .error = Annotate(status, absl::StrCat("stage ", options_.terms.stage))});
    return;
  }
  absl::MutexLock lock(&mutex_);
  step_ = std::move(step);
}

void PipelineStage::SendUp(const StageMessage& message) {
  std::shared_ptr<StageLink> previous;
  {
    absl::MutexLock lock(&mutex_);
    previous = previous_;
  }
  if (previous == nullptr) {
    return;
  }
  if (const absl::Status sent = previous->Send(message); !sent.ok()) {
    spdlog::debug("stage {}: nothing reaches the head: {}", options_.terms.stage, sent.ToString());
  }
}

void PipelineStage::Run() {
  const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || step_.has_value(); };
  while (true) {
    std::optional<StageStep> step;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&has_work));
      if (stopping_) {
        return;
      }
      step = std::exchange(step_, std::nullopt);
    }
    Compute(*step);
  }
}

void PipelineStage::Compute(const StageStep& step) {
  const absl::Status status = runner_.Forward(step);
  if (absl::IsCancelled(status)) {
    return;  // nobody waits for it any more
  }
  if (!status.ok()) {
    spdlog::warn("stage {}: a step failed: {}", options_.terms.stage, status.ToString());
    SendUp(transport::StageFailure{.step = step.step,
                                   .error = Annotate(status, absl::StrCat("stage ", options_.terms.stage))});
    return;
  }
  const scheduler::StepReport& report = runner_.report();
  SendUp(transport::StageReport{.step = step.step,
                                .stage = options_.terms.stage,
                                .busy = report.router + report.shared,
                                .experts = report.waits.expert + report.waits.wire + report.waits.bubble,
                                .stages = report.stage_wait});
}

void PipelineStage::Expect(uint64_t step, int32_t micro_batch, std::function<void()> arrived) {
  mailbox_.Expect(step, micro_batch, std::move(arrived));
}

absl::StatusOr<transport::FrameBuffer> PipelineStage::Take(uint64_t step, int32_t micro_batch) {
  return mailbox_.Take(step, micro_batch);
}

absl::Status PipelineStage::Send(const transport::StageRows& rows, int direction) {
  std::shared_ptr<StageLink> to;
  {
    absl::MutexLock lock(&mutex_);
    to = rows.result || direction == 1 ? previous_ : next_;
  }
  return to == nullptr ? absl::CancelledError("the neighbouring stage is gone") : to->Send(rows);
}

}  // namespace tandem::router
