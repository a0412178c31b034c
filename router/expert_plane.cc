#include "router/expert_plane.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread_name.h"

namespace tandem::router {

using transport::WorkerInfo;

WorkerPool::WorkerPool(const std::vector<ChannelFactory>& factories, transport::ModelIdentity identity,
                       scheduler::Placement placement, Options options)
    : identity_(std::move(identity)),
      placement_(std::move(placement)),
      options_(std::move(options)),
      status_(factories.size()) {
  if (options_.doorbell == nullptr) {
    options_.doorbell = std::make_shared<transport::Doorbell>(transport::kDefaultSpin);
  }
  for (size_t i = 0; i < factories.size(); ++i) {
    const int worker = static_cast<int>(i);
    channels_.push_back(factories[i]([this, worker] {
      ReportLost(worker, absl::UnavailableError("the connection was lost"));
    }));
    absl::MutexLock lock(&mutex_);
    status_[i].name = channels_[i]->name();
    status_[i].experts = static_cast<int64_t>(placement_.ExpertsOf(worker).size());
  }
  for (int i = 0; i < num_workers(); ++i) {
    threads_.emplace_back([this, i] {
      SetThreadName(absl::StrCat("conn-", i));
      KeepConnected(i);
    });
  }
}

WorkerPool::~WorkerPool() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (const auto& channel : channels_) {
    channel->CancelCalls();
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void WorkerPool::Poll() {
  for (const std::unique_ptr<transport::ExpertChannel>& channel : channels_) {
    channel->Poll();
  }
}

void WorkerPool::KeepConnected(int worker) {
  absl::Duration backoff = options_.initial_backoff;
  const auto needs_attention = [this, worker]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopping_ || status_[worker].state == WorkerState::kLost;
  };
  const auto stopping = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_; };
  while (true) {
    const absl::Status connected = Connect(worker);
    if (connected.ok()) {
      backoff = options_.initial_backoff;
      do {
        absl::MutexLock lock(&mutex_);
        mutex_.AwaitWithTimeout(absl::Condition(&needs_attention), options_.check_interval);
        if (needs_attention()) {
          break;
        }
      } while (channels_[worker]->ready());
    }
    absl::MutexLock lock(&mutex_);
    if (connected.ok() && !stopping_ && status_[worker].state == WorkerState::kReady) {
      status_[worker].state = WorkerState::kLost;
      status_[worker].error = absl::UnavailableError("the connection was closed");
      ++changes_;
    }
    if (!stopping_ && !connected.ok()) {
      mutex_.AwaitWithTimeout(absl::Condition(&stopping), backoff);
      backoff = std::min(backoff * 2, options_.max_backoff);
    }
    if (stopping_) {
      return;
    }
  }
}

absl::Status WorkerPool::Connect(int worker) {
  absl::StatusOr<WorkerInfo> info =
      channels_[worker]->Handshake(identity_, absl::Now() + options_.connect_timeout);
  if (!info.ok()) {
    const bool refused = info.status().code() == absl::StatusCode::kFailedPrecondition;
    SetState(worker, refused ? WorkerState::kRefused : WorkerState::kLost, info.status());
    return info.status();
  }
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      return absl::CancelledError("stopping");
    }
    status_[worker].info = *info;
    if (!info->worker_id.empty()) {
      status_[worker].name = info->worker_id;
    }
  }
  SetState(worker, WorkerState::kLoading, absl::OkStatus());
  const absl::Status loaded =
      channels_[worker]->LoadExperts(placement_.ExpertsOf(worker), absl::Now() + options_.load_timeout);
  SetState(worker, loaded.ok() ? WorkerState::kReady : WorkerState::kLost, loaded);
  return loaded;
}

void WorkerPool::SetState(int worker, WorkerState state, absl::Status error) {
  absl::MutexLock lock(&mutex_);
  WorkerStatus& status = status_[worker];
  if (status.state == state && status.error == error) {
    return;
  }
  if (state == WorkerState::kReady) {
    status.transport = std::string(channels_[worker]->transport());
    spdlog::info("worker {} ready with {} experts over {}", status.name, status.experts, status.transport);
  } else if (state == WorkerState::kRefused || (state == WorkerState::kLost && status.state == WorkerState::kReady)) {
    spdlog::warn("worker {}: {}", status.name, error.ToString());
  }
  status.state = state;
  status.error = std::move(error);
  ++changes_;
}

void WorkerPool::ReportLost(int worker, const absl::Status& error) {
  absl::MutexLock lock(&mutex_);
  WorkerStatus& status = status_[worker];
  if (status.state == WorkerState::kReady) {
    spdlog::warn("worker {} lost: {}", status.name, error.ToString());
    status.state = WorkerState::kLost;
    status.error = error;
    ++changes_;
  }
}

bool WorkerPool::AllReady() const {
  return std::all_of(status_.begin(), status_.end(),
                     [](const WorkerStatus& status) { return status.state == WorkerState::kReady; });
}

std::string WorkerPool::Describe() const {
  int ready = 0;
  std::vector<std::string> waiting;
  for (const WorkerStatus& status : status_) {
    if (status.state == WorkerState::kReady) {
      ++ready;
      continue;
    }
    const char* what = status.state == WorkerState::kLoading ? " (loading experts)" : "";
    waiting.push_back(absl::StrCat(status.name, what));
  }
  return absl::StrCat(ready, "/", status_.size(), " expert workers ready",
                      waiting.empty() ? "" : absl::StrCat(", waiting for ", absl::StrJoin(waiting, ", ")));
}

absl::Status WorkerPool::WaitUntilReady(absl::Time deadline,
                                        const std::function<void(const std::string&)>& progress) {
  uint64_t seen = 0;
  const auto changed = [this, &seen]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return changes_ != seen; };
  while (true) {
    std::string description;
    {
      absl::MutexLock lock(&mutex_);
      seen = changes_;
      for (const WorkerStatus& status : status_) {
        if (status.state == WorkerState::kRefused) {
          return Annotate(status.error, absl::StrCat("worker ", status.name));
        }
      }
      description = Describe();
      if (AllReady()) {
        break;
      }
      if (absl::Now() >= deadline) {
        return absl::DeadlineExceededError(description);
      }
    }
    if (progress) {
      progress(description);
    }
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithDeadline(absl::Condition(&changed), deadline);
  }
  return absl::OkStatus();
}

absl::Status WorkerPool::Health() const {
  absl::MutexLock lock(&mutex_);
  return AllReady() ? absl::OkStatus() : absl::UnavailableError(Describe());
}

std::vector<WorkerPool::WorkerStatus> WorkerPool::Status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

bool WorkerPool::IsReady(int worker) const {
  absl::MutexLock lock(&mutex_);
  return status_[worker].state == WorkerState::kReady;
}

}  // namespace tandem::router
