#include "base/supervisor.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/thread_name.h"

namespace tandem {

absl::Duration RestartPolicy::PauseAfter(int failures) const {
  return std::min(max_pause, initial_pause * std::pow(growth, std::max(0, failures - 1)));
}

Supervisor::Supervisor(SupervisorOptions options)
    : options_(std::move(options)), stop_(::eventfd(0, EFD_CLOEXEC)), thread_([this] {
        SetThreadName(absl::StrCat("super-", options_.name));
        Run();
      }) {}

Supervisor::~Supervisor() { Stop(); }

Supervisor::Status Supervisor::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

absl::StatusOr<std::string> Supervisor::AwaitReady(absl::Time deadline) const {
  const auto settled = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return status_.state != State::kStarting && status_.state != State::kPausing;
  };
  absl::MutexLock lock(&mutex_);
  const bool in_time = mutex_.AwaitWithDeadline(absl::Condition(&settled), deadline);
  if (status_.state == State::kRunning) {
    return status_.ready_line;
  }
  const std::string reason = status_.last_exit.ok() ? "" : absl::StrCat(": ", status_.last_exit.message());
  return in_time ? absl::UnavailableError(absl::StrCat(options_.name, " does not run", reason))
                 : absl::DeadlineExceededError(absl::StrCat(options_.name, " is not ready yet", reason));
}

void Supervisor::Stop() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  absl::MutexLock lock(&join_mutex_);
  if (!std::exchange(joined_, true)) {
    thread_.join();
  }
}

bool Supervisor::stop_requested() const { return AwaitAnyReadable({stop_.get()}, absl::InfinitePast()).has_value(); }

void Supervisor::Publish(State state, pid_t pid, std::string ready_line) {
  absl::MutexLock lock(&mutex_);
  status_.state = state;
  status_.pid = pid;
  status_.ready_line = std::move(ready_line);
}

absl::StatusOr<Supervisor::Running> Supervisor::Start() {
  ASSIGN_OR_RETURN(ReadinessPipe pipe, ReadinessPipe::Create());
  ChildOptions child_options;
  child_options.name = options_.name;
  child_options.environment = options_.environment;
  child_options.inherited_fds = {pipe.child_fd()};
  Running running;
  ASSIGN_OR_RETURN(running.process, ChildProcess::Spawn(options_.command(pipe.child_fd()), std::move(child_options)));
  pipe.CloseChildEnd();
  const absl::Time deadline = absl::Now() + options_.ready_timeout;
  AwaitAnyReadable({stop_.get(), pipe.read_fd()}, deadline);
  if (stop_requested()) {
    running.process->Terminate(options_.stop_grace);
    return absl::CancelledError("stopped");
  }
  auto line = pipe.ReadLine(deadline);
  if (!line.ok()) {
    const bool ended = absl::IsUnavailable(line.status());
    if (ended) {
      running.process->Wait(absl::Now() + absl::Seconds(1));  // by itself: its status tells more than ours would
    }
    const ExitStatus exit = running.process->Terminate(ended ? absl::Seconds(1) : absl::ZeroDuration());
    const absl::Status reason = Annotate(line.status(), absl::StrCat(options_.name, " (", exit.ToString(), ")"));
    const int permanent = options_.restart.permanent_exit_code;
    return permanent != 0 && exit == ExitStatus{.code = permanent} ? absl::FailedPreconditionError(reason.message())
                                                                   : reason;
  }
  running.ready_line = *std::move(line);
  return running;
}

absl::Status Supervisor::Watch(ChildProcess& child) {
  AwaitAnyReadable({stop_.get(), child.exit_fd()}, absl::InfiniteFuture());
  if (stop_requested()) {
    child.Terminate(options_.stop_grace);
    return absl::CancelledError("stopped");
  }
  const std::optional<ExitStatus> exit = child.Wait(absl::InfiniteFuture());
  return absl::UnavailableError(absl::StrCat(options_.name, " ended with ", exit->ToString()));
}

bool Supervisor::GivesUp(const absl::Status& reason, int failures, bool was_ready) const {
  const RestartPolicy& policy = options_.restart;
  const auto reached = [failures](int limit) { return limit > 0 && failures >= limit; };
  return reached(policy.max_failures) ||
         (!was_ready && (reached(policy.max_failed_starts) || absl::IsFailedPrecondition(reason)));
}

void Supervisor::Run() {
  int failures = 0;
  bool was_ready = false;
  while (true) {
    const absl::Time started_at = absl::Now();
    absl::StatusOr<Running> running = Start();
    absl::Status reason = running.status();
    if (running.ok()) {
      was_ready = true;
      Publish(State::kRunning, running->process->pid(), running->ready_line);
      if (options_.on_ready) {
        options_.on_ready(running->ready_line);
      }
      reason = Watch(*running->process);
    }
    if (absl::IsCancelled(reason)) {
      break;
    }
    failures = absl::Now() - started_at >= options_.restart.healthy_after ? 1 : failures + 1;
    const bool give_up = GivesUp(reason, failures, was_ready);
    {
      absl::MutexLock lock(&mutex_);
      status_.last_exit = reason;
    }
    Publish(give_up ? State::kGivenUp : State::kPausing, 0, "");
    if (options_.on_exit) {
      options_.on_exit(reason);
    }
    if (give_up) {
      return;
    }
    const absl::Time next = absl::Now() + options_.restart.PauseAfter(failures);
    if (AwaitAnyReadable({stop_.get()}, next).has_value()) {
      break;
    }
    absl::MutexLock lock(&mutex_);
    status_.state = State::kStarting;
    ++status_.restarts;
  }
  Publish(State::kStopped, 0, "");
}

}  // namespace tandem
