// Keeps one child process running: starts it, waits until it says that it is ready, and starts it again, with growing
// pauses, when it ends.
//
//   Supervisor worker({.name = "expert-worker-0",
//                      .command = [&](int ready_fd) { return std::vector<std::string>{"tandem", "expert-worker", …}; },
//                      .on_ready = [&](const std::string& line) { … }});
//   ASSIGN_OR_RETURN(std::string line, worker.AwaitReady(deadline));
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/child_process.h"

namespace tandem {

// How long to wait before the next start. A child that ran for `healthy_after` counts as well, and its next failure as
// the first.
struct RestartPolicy {
  absl::Duration initial_pause = absl::Milliseconds(200);
  absl::Duration max_pause = absl::Seconds(10);
  double growth = 2.0;
  absl::Duration healthy_after = absl::Seconds(30);
  int max_failures = 0;  // in a row, after which no more start is tried; 0: never give up
  // The same for a child that has never been ready: what failed so often will fail again.
  int max_failed_starts = 0;
  // A child that has never been ready and exits with this code, say because of its arguments, is not started again; 0: none.
  int permanent_exit_code = 0;

  // The pause before the start that follows `failures` failures in a row.
  absl::Duration PauseAfter(int failures) const;
};

struct SupervisorOptions {
  std::string name;
  // The child's arguments; `ready_fd` is where it is to write its line (ReadinessPipe). Called before each start.
  std::function<std::vector<std::string>(int ready_fd)> command;
  std::vector<std::string> environment;
  absl::Duration ready_timeout = absl::Seconds(60);
  // Between SIGTERM and SIGKILL.
  absl::Duration stop_grace = absl::Seconds(10);
  RestartPolicy restart;
  // Optional; called on the supervisor's thread: with the child's line each time that it is ready, and with the reason
  // each time that it ended or could not be started, but not because of Stop.
  std::function<void(const std::string& line)> on_ready;
  std::function<void(const absl::Status& reason)> on_exit;
};

// Thread-safe. One thread ("super-<name>"), which is the parent of the child, and ends it.
class Supervisor {
 public:
  enum class State { kStarting, kRunning, kPausing, kGivenUp, kStopped };

  struct Status {
    State state = State::kStarting;
    pid_t pid = 0;           // of the running child, else 0
    int64_t restarts = 0;    // starts but the first
    std::string ready_line;  // of the running child
    absl::Status last_exit;  // why the last child ended; OK if none has
  };

  explicit Supervisor(SupervisorOptions options);
  ~Supervisor();  // as Stop

  Status status() const;

  // Blocks until the child is ready and returns its line.
  // Errors: DEADLINE_EXCEEDED or, when it was given up or stopped, UNAVAILABLE; with the last exit's reason.
  absl::StatusOr<std::string> AwaitReady(absl::Time deadline) const;

  // Ends the child, SIGTERM first, and the supervision. Idempotent. Not from a callback.
  void Stop();

 private:
  struct Running {
    std::unique_ptr<ChildProcess> process;
    std::string ready_line;
  };

  void Run();
  // Starts the child and waits until it is ready. Errors: CANCELLED if Stop came first, FAILED_PRECONDITION if it ended with
  // the permanent exit code.
  absl::StatusOr<Running> Start();
  // Watches the child until it ends; its reason, or CANCELLED if Stop came first.
  absl::Status Watch(ChildProcess& child);
  // Whether to give up after the last of `failures` failures in a row.
  bool GivesUp(const absl::Status& reason, int failures, bool was_ready) const;
  bool stop_requested() const;
  void Publish(State state, pid_t pid, std::string ready_line);

  const SupervisorOptions options_;
  UniqueFd stop_;  // an eventfd: readable once Stop was called

  mutable absl::Mutex mutex_;
  Status status_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex join_mutex_;
  bool joined_ ABSL_GUARDED_BY(join_mutex_) = false;
  std::thread thread_;  // last: uses all of the above
};

}  // namespace tandem
