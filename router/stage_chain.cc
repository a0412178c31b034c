#include "router/stage_chain.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread_name.h"

namespace tandem::router {

using transport::FrameBuffer;
using transport::StageLink;
using transport::StageMessage;

StageChain::StageChain(Options options)
    : options_(std::move(options)), totals_(static_cast<size_t>(options_.terms.num_stages) - 1) {
  thread_ = std::thread([this] {
    SetThreadName("next-stage");
    KeepConnected();
  });
}

StageChain::~StageChain() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void StageChain::KeepConnected() {
  absl::Duration backoff = options_.initial_backoff;
  const auto needs_attention = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || lost_; };
  const auto stopping = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_; };
  while (true) {
    const absl::Status connected = Connect();
    std::shared_ptr<StageLink> old;
    {
      absl::MutexLock lock(&mutex_);
      if (connected.ok()) {
        backoff = options_.initial_backoff;
        mutex_.Await(absl::Condition(&needs_attention));
        old = std::exchange(link_, nullptr);
        error_.Update(absl::UnavailableError("the line is being made anew"));
      } else {
        error_ = connected;
        ++changes_;
        mutex_.AwaitWithTimeout(absl::Condition(&stopping), backoff);
        backoff = std::min(backoff * 2, options_.max_backoff);
      }
    }
    if (old != nullptr) {
      old->Close();
    }
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      return;
    }
  }
}

absl::Status StageChain::Connect() {
  {
    absl::MutexLock lock(&mutex_);
    lost_ = false;
  }
  transport::StageCallbacks callbacks = {.on_message = [this](StageMessage message) { OnMessage(std::move(message)); },
                                         .on_lost = [this](const absl::Status& reason) { OnLost(reason); }};
  ASSIGN_OR_RETURN(transport::ConnectedStage connected,
                   transport::ConnectStage(options_.address, options_.terms, std::move(callbacks),
                                           absl::Now() + options_.connect_timeout));
  {
    absl::MutexLock lock(&mutex_);
    if (connected.kv_blocks >= required_kv_blocks_) {
      link_ = std::move(connected.link);
      kv_blocks_ = connected.kv_blocks;
      renewed_ = true;
      if (!lost_) {
        error_ = absl::OkStatus();
      }
      ++changes_;
      spdlog::info("{} pipeline stages are connected, room for {} KV blocks in the smallest", options_.terms.num_stages,
                   kv_blocks_);
      return absl::OkStatus();
    }
  }
  connected.link->Close();
  return absl::UnavailableError(absl::StrCat("a stage came back with ", connected.kv_blocks,
                                             " KV blocks, fewer than the ", required_kv_blocks_,
                                             " in use; start it as before"));
}

void StageChain::OnLost(const absl::Status& reason) {
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_ && !lost_) {
      spdlog::warn("a pipeline stage is lost: {}", reason.ToString());
    }
    lost_ = true;
    error_.Update(reason);
    ++changes_;
  }
  mailbox_.FailPresent(reason);
}

void StageChain::OnMessage(StageMessage message) {
  if (auto* rows = std::get_if<transport::StageRows>(&message)) {
    mailbox_.Deliver(rows->step, rows->micro_batch, std::move(rows->rows));
  } else if (const auto* failure = std::get_if<transport::StageFailure>(&message)) {
    if (failure->step == 0) {
      OnLost(failure->error);
    } else {
      mailbox_.Fail(failure->step, failure->error);
    }
  } else if (const auto* report = std::get_if<transport::StageReport>(&message)) {
    AddReport(*report);
  }
}

void StageChain::AddReport(const transport::StageReport& report) {
  absl::MutexLock lock(&mutex_);
  if (report.stage < 1 || report.stage > static_cast<int32_t>(totals_.size())) {
    return;
  }
  StageTotals& totals = totals_[report.stage - 1];
  ++totals.steps;
  totals.busy_seconds += absl::ToDoubleSeconds(report.busy);
  totals.expert_wait_seconds += absl::ToDoubleSeconds(report.experts);
  totals.stage_wait_seconds += absl::ToDoubleSeconds(report.stages);
}

absl::Status StageChain::WaitUntilReady(absl::Time deadline, const std::function<void(const std::string&)>& progress) {
  uint64_t seen = 0;
  const auto changed = [this, &seen]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return changes_ != seen; };
  std::string told;
  while (true) {
    absl::Status error;
    {
      absl::MutexLock lock(&mutex_);
      seen = changes_;
      error = error_;
    }
    if (error.ok() || absl::IsFailedPrecondition(error)) {
      return error;
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat("waiting for pipeline stages: ", error.message()));
    }
    if (progress && told != error.message()) {
      told = std::string(error.message());
      progress(absl::StrCat("waiting for pipeline stages: ", told));
    }
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithDeadline(absl::Condition(&changed), deadline);
  }
}

absl::Status StageChain::Health() const {
  absl::MutexLock lock(&mutex_);
  return error_.ok() ? error_ : absl::UnavailableError(absl::StrCat("pipeline stages: ", error_.message()));
}

int64_t StageChain::kv_blocks() const {
  absl::MutexLock lock(&mutex_);
  return kv_blocks_;
}

void StageChain::RequireKvBlocks(int64_t blocks) {
  absl::MutexLock lock(&mutex_);
  required_kv_blocks_ = blocks;
}

bool StageChain::TakeRenewed() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(renewed_, false);
}

std::shared_ptr<StageLink> StageChain::link() const {
  absl::MutexLock lock(&mutex_);
  return renewed_ || lost_ ? nullptr : link_;
}

absl::Status StageChain::Begin(const transport::StageStep& step) {
  deadlines_.Cancel(step_deadline_);
  mailbox_.Begin(step.step, step.micro_batches.size());
  const std::shared_ptr<StageLink> to = link();
  if (to == nullptr) {
    const absl::Status health = Health();
    return health.ok() ? absl::UnavailableError("the pipeline stages were connected anew; send the request again")
                       : health;
  }
  step_deadline_ = deadlines_.Add(absl::Now() + options_.step_timeout, [this, id = step.step] {
    const absl::Status late = absl::UnavailableError(
        absl::StrCat("the pipeline stages did not finish a step within ", absl::FormatDuration(options_.step_timeout)));
    if (mailbox_.Awaited(id)) {
      OnLost(late);
    }
  });
  return to->Send(step);
}

void StageChain::Expect(uint64_t step, int32_t micro_batch, std::function<void()> arrived) {
  mailbox_.Expect(step, micro_batch, std::move(arrived));
}

absl::StatusOr<FrameBuffer> StageChain::Take(uint64_t step, int32_t micro_batch) {
  return mailbox_.Take(step, micro_batch);
}

absl::Status StageChain::Send(const transport::StageRows& rows, int) {
  const std::shared_ptr<StageLink> to = link();
  return to == nullptr ? absl::UnavailableError("a pipeline stage is lost") : to->Send(rows);
}

std::vector<StageTotals> StageChain::Totals() const {
  absl::MutexLock lock(&mutex_);
  return totals_;
}

}  // namespace tandem::router
