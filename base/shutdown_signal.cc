#include "base/shutdown_signal.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace tandem {
namespace {

sigset_t ShutdownSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

void ExitNow(int) { _exit(130); }

}  // namespace

ShutdownSignal::ShutdownSignal() {
  const sigset_t set = ShutdownSet();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

void ShutdownSignal::Wait() {
  const sigset_t set = ShutdownSet();
  int received = 0;
  while (sigwait(&set, &received) != 0) {
  }
  struct sigaction action = {};
  action.sa_handler = ExitNow;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void ShutdownSignal::Raise() { kill(getpid(), SIGTERM); }

}  // namespace tandem
