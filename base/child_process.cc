#include "base/child_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"

extern char** environ;

namespace tandem {
namespace {

constexpr size_t kMaxReadyLine = 4096;
constexpr size_t kMaxReason = 2000;
constexpr char kFailed[] = "failed: ";

absl::Status FromErrno(int error, absl::string_view what) {
  return absl::Status(absl::ErrnoToStatusCode(error), absl::StrCat(what, ": ", std::strerror(error)));
}

// Milliseconds for poll, rounded up so that it does not wake just before `deadline`; -1: for ever.
int PollTimeout(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) {
    return -1;
  }
  const int64_t millis = absl::ToInt64Milliseconds(deadline - absl::Now() + absl::Microseconds(999));
  return static_cast<int>(std::clamp<int64_t>(millis, 0, INT_MAX));
}

bool AwaitReadable(int fd, absl::Time deadline) { return AwaitAnyReadable({fd}, deadline) == 0; }

absl::StatusOr<std::pair<UniqueFd, UniqueFd>> MakePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) {
    return FromErrno(errno, "pipe");
  }
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

// argv or envp: pointers into `strings`, ended by null.
std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Environment(const std::vector<std::string>& changes) {
  const auto name = [](absl::string_view variable) { return variable.substr(0, variable.find('=')); };
  std::vector<std::string> all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const bool replaced = std::any_of(changes.begin(), changes.end(),
                                      [&](const std::string& change) { return name(change) == name(*variable); });
    if (!replaced) {
      all.emplace_back(*variable);
    }
  }
  all.insert(all.end(), changes.begin(), changes.end());
  return all;
}

// Everything the child needs between fork and exec, where nothing may be allocated.
struct Launch {
  const char* program;
  char* const* argv;
  char* const* envp;
  const std::vector<int>& inherited_fds;
  pid_t parent;
  int error_fd;
};

// Runs in the child; async-signal-safe calls only. Reports why exec failed through error_fd.
[[noreturn]] void ExecChild(const Launch& launch) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launch.parent) {
    ::_exit(127);  // the parent ended before prctl
  }
  ::setpgid(0, 0);  // Ctrl-C is for the parent, which ends its children in order
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (const int null = ::open("/dev/null", O_RDONLY); null >= 0) {
    ::dup2(null, STDIN_FILENO);
    if (null != STDIN_FILENO) {
      ::close(null);
    }
  }
  // Descriptors of libraries that are not close-on-exec by themselves; kernels before 5.11 leave them open.
  ::syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
  for (const int fd : launch.inherited_fds) {
    ::fcntl(fd, F_SETFD, 0);
  }
  ::execvpe(launch.program, launch.argv, launch.envp);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(launch.error_fd, &error, sizeof(error));
  ::_exit(127);
}

// Reads until the other end is closed, `size` bytes are there, or an error occurs.
size_t ReadFully(int fd, void* data, size_t size) {
  size_t total = 0;
  while (total < size) {
    const ssize_t n = ::read(fd, static_cast<char*>(data) + total, size - total);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      break;
    }
    total += n;
  }
  return total;
}

}  // namespace

std::optional<size_t> AwaitAnyReadable(const std::vector<int>& fds, absl::Time deadline) {
  std::vector<pollfd> entries;
  for (const int fd : fds) {
    entries.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  }
  while (true) {
    const int ready = ::poll(entries.data(), entries.size(), PollTimeout(deadline));
    for (size_t i = 0; ready > 0 && i < entries.size(); ++i) {
      if (entries[i].revents != 0) {
        return i;
      }
    }
    if ((ready == 0 || errno != EINTR) && absl::Now() >= deadline) {
      return std::nullopt;
    }
  }
}

std::string ExitStatus::ToString() const {
  return signal != 0 ? absl::StrCat("signal ", signal, " (", strsignal(signal), ")") : absl::StrCat("exit code ", code);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Spawn(const std::vector<std::string>& argv,
                                                                  ChildOptions options) {
  if (argv.empty()) {
    return absl::InvalidArgumentError("no program to run");
  }
  std::string name = options.name.empty() ? argv[0] : options.name;
  // The write end closes by itself when exec succeeds.
  ASSIGN_OR_RETURN(auto error_pipe, MakePipe());
  std::vector<std::string> arguments = argv;
  std::vector<std::string> environment = Environment(options.environment);
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const Launch launch{argv[0].c_str(), argument_pointers.data(), environment_pointers.data(), options.inherited_fds,
                      ::getpid(),      error_pipe.second.get()};
  const pid_t pid = ::fork();
  if (pid < 0) {
    return FromErrno(errno, absl::StrCat(name, ": fork"));
  }
  if (pid == 0) {
    ExecChild(launch);
  }
  error_pipe.second.Reset();
  int error = 0;
  if (ReadFully(error_pipe.first.get(), &error, sizeof(error)) == sizeof(error)) {
    ::waitpid(pid, nullptr, 0);
    return FromErrno(error, absl::StrCat(name, ": cannot execute ", argv[0]));
  }
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    const int pidfd_error = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return FromErrno(pidfd_error, absl::StrCat(name, ": pidfd_open (needs Linux 5.3)"));
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(std::move(name), pid, std::move(pidfd)));
}

ChildProcess::~ChildProcess() {
  Kill(SIGKILL);
  Wait(absl::InfiniteFuture());
}

std::optional<ExitStatus> ChildProcess::Wait(absl::Time deadline) {
  if (exit_.has_value() || !AwaitReadable(pidfd_.get(), deadline)) {
    return exit_;
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  exit_ = WIFSIGNALED(status) ? ExitStatus{.code = 0, .signal = WTERMSIG(status)}
                              : ExitStatus{.code = WEXITSTATUS(status), .signal = 0};
  return exit_;
}

void ChildProcess::Kill(int signal) const {
  // Through the pidfd: the number may be another process's by now.
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0);
}

ExitStatus ChildProcess::Terminate(absl::Duration grace) {
  Kill(SIGTERM);
  if (!Wait(absl::Now() + grace).has_value()) {
    Kill(SIGKILL);
  }
  return *Wait(absl::InfiniteFuture());
}

absl::StatusOr<ReadinessPipe> ReadinessPipe::Create() {
  ASSIGN_OR_RETURN(auto ends, MakePipe());
  return ReadinessPipe(std::move(ends.first), std::move(ends.second));
}

absl::StatusOr<std::string> ReadinessPipe::ReadLine(absl::Time deadline) {
  CloseChildEnd();
  std::string line;
  while (line.size() < kMaxReadyLine) {
    if (!AwaitReadable(read_.get(), deadline)) {
      return absl::DeadlineExceededError("the child process was not ready in time");
    }
    char c = 0;
    if (ReadFully(read_.get(), &c, 1) == 0) {
      return absl::UnavailableError("the child process ended before it was ready; see its log");
    }
    if (c == '\n') {
      if (absl::StartsWith(line, kFailed)) {
        return absl::UnavailableError(line.substr(sizeof(kFailed) - 1));
      }
      return line;
    }
    line.push_back(c);
  }
  return absl::InternalError("the child process wrote an endless line instead of being ready");
}

absl::Status WriteFailedLine(int fd, absl::string_view reason) {
  return WriteReadyLine(fd, absl::StrCat(kFailed, absl::StrReplaceAll(reason.substr(0, kMaxReason), {{"\n", " "}})));
}

absl::Status WriteReadyLine(int fd, absl::string_view line) {
  const UniqueFd owner(fd);
  const std::string text = absl::StrCat(line, "\n");
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(fd, text.data() + written, text.size() - written);
    if (n < 0 && errno != EINTR) {
      return FromErrno(errno, absl::StrCat("cannot report readiness on file descriptor ", fd));
    }
    written += std::max<ssize_t>(n, 0);
  }
  return absl::OkStatus();
}

}  // namespace tandem
