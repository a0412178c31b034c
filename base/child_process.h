// Child processes that do not outlive their parent, and the pipe on which a child says that it is ready. Linux.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace tandem {

// Index of the first descriptor that has something to read (or has ended); nullopt if none has by `deadline`.
std::optional<size_t> AwaitAnyReadable(const std::vector<int>& fds, absl::Time deadline);

struct ExitStatus {
  int code = 0;    // exit code, if `signal` is 0
  int signal = 0;  // what killed it
  bool ok() const { return code == 0 && signal == 0; }
  // "exit code 3", "signal 9 (Killed)"
  std::string ToString() const;
  bool operator==(const ExitStatus&) const = default;
};

struct ChildOptions {
  // For messages; empty: the program's name.
  std::string name;
  // Added to, or replacing variables of, the parent's environment: "NAME=value".
  std::vector<std::string> environment;
  // Open in the child under the same number; all others but 0, 1 and 2 are closed.
  std::vector<int> inherited_fds;
};

// One running child. Standard input is /dev/null, output and errors go where the parent's go. The kernel kills the
// child when the thread that spawned it ends, so spawn from threads that last. Not thread-safe but for Kill.
class ChildProcess {
 public:
  // argv[0] is a path, or a name looked up in PATH.
  // Errors: NOT_FOUND or another code with the reason if the program cannot be executed.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(const std::vector<std::string>& argv,
                                                             ChildOptions options = {});
  ~ChildProcess();  // kills a child that still runs

  pid_t pid() const { return pid_; }
  const std::string& name() const { return name_; }
  // Becomes readable when the child has ended; for poll.
  int exit_fd() const { return pidfd_.get(); }

  // Waits until the child has ended; nullopt if it still runs at `deadline`.
  std::optional<ExitStatus> Wait(absl::Time deadline);

  // Sends a signal; ignored once the child has been waited for.
  void Kill(int signal) const;

  // SIGTERM, then SIGKILL if it still runs after `grace`.
  ExitStatus Terminate(absl::Duration grace);

 private:
  ChildProcess(std::string name, pid_t pid, UniqueFd pidfd)
      : name_(std::move(name)), pid_(pid), pidfd_(std::move(pidfd)) {}

  const std::string name_;
  const pid_t pid_;
  const UniqueFd pidfd_;
  std::optional<ExitStatus> exit_;
};

// How a child reports that it serves: it writes one line (JSON by convention, {"port": 7001}) to an inherited pipe.
//
//   parent: pipe = Create(); Spawn({…, "--ready-fd", pipe.child_fd()}, {.inherited_fds = {pipe.child_fd()}});
//           pipe.ReadLine(deadline)
//   child:  WriteReadyLine(fd, line), or WriteFailedLine(fd, why)
class ReadinessPipe {
 public:
  static absl::StatusOr<ReadinessPipe> Create();

  // The number that the child finds its end under.
  int child_fd() const { return write_.get(); }
  // Becomes readable when the child has written or ended; for poll, after CloseChildEnd.
  int read_fd() const { return read_.get(); }

  // The parent's copy of the child's end; as long as it is open the child's death does not end the pipe.
  void CloseChildEnd() { write_.Reset(); }

  // To be called after Spawn; closes the child's end. Returns the line without its end.
  // Errors: DEADLINE_EXCEEDED, UNAVAILABLE if the child ended or closed the pipe before, or with its WriteFailedLine.
  absl::StatusOr<std::string> ReadLine(absl::Time deadline);

 private:
  ReadinessPipe(UniqueFd read, UniqueFd write) : read_(std::move(read)), write_(std::move(write)) {}

  UniqueFd read_;
  UniqueFd write_;
};

// Writes `line` and a line end to `fd` and closes it.
absl::Status WriteReadyLine(int fd, absl::string_view line);

// Instead of it: tells the parent why there will be none, as one line of at most 2000 characters.
absl::Status WriteFailedLine(int fd, absl::string_view reason);

}  // namespace tandem
