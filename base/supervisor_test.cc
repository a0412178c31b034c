#include "base/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

// A child that runs `script`, in which $1 is where its line goes and $2 the number of its start.
SupervisorOptions Script(const std::string& script) {
  auto starts = std::make_shared<std::atomic<int>>(0);
  SupervisorOptions options;
  options.name = "child";
  options.restart.initial_pause = absl::Milliseconds(1);
  options.restart.max_pause = absl::Milliseconds(5);
  options.command = [script, starts](int ready_fd) {
    return std::vector<std::string>{
        "/bin/sh", "-c", script, "sh", absl::StrCat("/proc/self/fd/", ready_fd), absl::StrCat(++*starts)};
  };
  return options;
}

TEST(RestartPolicyTest, PausesGrowToALimit) {
  const RestartPolicy policy{.initial_pause = absl::Seconds(1), .max_pause = absl::Seconds(10), .growth = 2};
  EXPECT_EQ(policy.PauseAfter(1), absl::Seconds(1));
  EXPECT_EQ(policy.PauseAfter(2), absl::Seconds(2));
  EXPECT_EQ(policy.PauseAfter(4), absl::Seconds(8));
  EXPECT_EQ(policy.PauseAfter(5), absl::Seconds(10));
  EXPECT_EQ(policy.PauseAfter(100000), absl::Seconds(10));
}

TEST(SupervisorTest, StartsAChildAndStopsIt) {
  Supervisor supervisor(Script("echo ready $2 > $1; exec sleep 1000"));
  EXPECT_EQ(supervisor.AwaitReady(Soon()).value_or("failed"), "ready 1");
  const Supervisor::Status status = supervisor.status();
  EXPECT_EQ(status.state, Supervisor::State::kRunning);
  EXPECT_EQ(status.restarts, 0);
  EXPECT_EQ(::kill(status.pid, 0), 0);
  supervisor.Stop();
  EXPECT_EQ(supervisor.status().state, Supervisor::State::kStopped);
  EXPECT_NE(::kill(status.pid, 0), 0);
  EXPECT_EQ(supervisor.AwaitReady(Soon()).status().code(), absl::StatusCode::kUnavailable);
}

TEST(SupervisorTest, RestartsAChildThatWasKilled) {
  absl::Notification restarted;
  absl::Mutex mutex;
  std::vector<std::string> lines;
  std::vector<absl::Status> exits;
  SupervisorOptions options = Script("echo ready $2 > $1; exec sleep 1000");
  options.on_ready = [&](const std::string& line) {
    absl::MutexLock lock(&mutex);
    lines.push_back(line);
    if (lines.size() == 2) {
      restarted.Notify();
    }
  };
  options.on_exit = [&](const absl::Status& reason) {
    absl::MutexLock lock(&mutex);
    exits.push_back(reason);
  };
  Supervisor supervisor(std::move(options));
  ASSERT_TRUE(supervisor.AwaitReady(Soon()).ok());
  const pid_t first = supervisor.status().pid;
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  restarted.WaitForNotification();
  const Supervisor::Status status = supervisor.status();
  EXPECT_EQ(status.state, Supervisor::State::kRunning);
  EXPECT_EQ(status.restarts, 1);
  EXPECT_EQ(status.ready_line, "ready 2");
  EXPECT_NE(status.pid, first);
  EXPECT_THAT(status.last_exit.message(), HasSubstr("signal 9"));
  supervisor.Stop();
  absl::MutexLock lock(&mutex);
  EXPECT_THAT(lines, ::testing::ElementsAre("ready 1", "ready 2"));
  ASSERT_EQ(exits.size(), 1) << "stopping is not an exit";
  EXPECT_THAT(exits[0].message(), HasSubstr("child ended with signal 9"));
}

TEST(SupervisorTest, KeepsTryingAChildThatDoesNotGetReady) {
  Supervisor supervisor(Script("[ $2 -lt 4 ] && exit 7; echo ready $2 > $1; exec sleep 1000"));
  EXPECT_EQ(supervisor.AwaitReady(Soon()).value_or("failed"), "ready 4");
  EXPECT_EQ(supervisor.status().restarts, 3);
  EXPECT_THAT(supervisor.status().last_exit.message(), HasSubstr("exit code 7"));
}

TEST(SupervisorTest, GivesUpAfterTheConfiguredFailures) {
  SupervisorOptions options = Script("exit 2");
  options.restart.max_failures = 3;
  Supervisor supervisor(std::move(options));
  const auto line = supervisor.AwaitReady(Soon());
  EXPECT_EQ(line.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(line.status().message(), HasSubstr("exit code 2"));
  EXPECT_EQ(supervisor.status().state, Supervisor::State::kGivenUp);
  EXPECT_EQ(supervisor.status().restarts, 2);
}

TEST(SupervisorTest, GivesUpAChildThatHasNeverBeenReady) {
  SupervisorOptions options = Script("echo \"failed: start $2\" > $1; exit 1");
  options.restart.max_failed_starts = 3;
  Supervisor supervisor(std::move(options));
  const auto line = supervisor.AwaitReady(Soon());
  EXPECT_EQ(line.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(line.status().message(), HasSubstr("(exit code 1): start 3"));
  EXPECT_EQ(supervisor.status().state, Supervisor::State::kGivenUp);
}

TEST(SupervisorTest, GivesUpAtOnceWhenAChildSaysThatItIsOfNoUse) {
  SupervisorOptions options = Script("exit 2");
  options.restart.permanent_exit_code = 2;
  Supervisor supervisor(std::move(options));
  EXPECT_THAT(supervisor.AwaitReady(Soon()).status().message(), HasSubstr("exit code 2"));
  EXPECT_EQ(supervisor.status().state, Supervisor::State::kGivenUp);
  EXPECT_EQ(supervisor.status().restarts, 0);
}

// What was ready once failed for a passing reason.
TEST(SupervisorTest, DoesNotGiveUpAChildThatWasReadyOnce) {
  SupervisorOptions options = Script("[ $2 -gt 1 ] && [ $2 -lt 7 ] && exit 2; echo $2 > $1; [ $2 -gt 1 ] && exec sleep 1000");
  options.restart.max_failed_starts = 2;
  options.restart.permanent_exit_code = 2;
  absl::Notification back;
  options.on_ready = [&](const std::string& line) {
    if (line == "7") back.Notify();
  };
  Supervisor supervisor(std::move(options));
  back.WaitForNotification();
  EXPECT_EQ(supervisor.status().restarts, 6);
}

TEST(SupervisorTest, ReplacesAChildThatTakesTooLongToGetReady) {
  SupervisorOptions options = Script("[ $2 -gt 1 ] && echo ready $2 > $1; exec sleep 1000");
  options.ready_timeout = absl::Milliseconds(100);
  absl::Notification replaced;
  options.on_exit = [&](const absl::Status& reason) {
    if (!replaced.HasBeenNotified()) {
      EXPECT_EQ(reason.code(), absl::StatusCode::kDeadlineExceeded) << reason;
      replaced.Notify();
    }
  };
  Supervisor supervisor(std::move(options));
  replaced.WaitForNotification();
  EXPECT_THAT(supervisor.AwaitReady(Soon()).value_or("failed"), HasSubstr("ready "));
}

TEST(SupervisorTest, StopsWhileTheChildIsNotReadyAndWhileItPauses) {
  Supervisor starting(Script("exec sleep 1000"));
  EXPECT_EQ(starting.AwaitReady(absl::Now() + absl::Milliseconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  starting.Stop();
  EXPECT_EQ(starting.status().state, Supervisor::State::kStopped);

  SupervisorOptions options = Script("exit 1");
  options.restart.initial_pause = absl::Hours(1);
  options.restart.max_pause = absl::Hours(1);
  absl::Notification failed;
  options.on_exit = [&](const absl::Status&) { failed.Notify(); };
  Supervisor pausing(std::move(options));
  failed.WaitForNotification();
  EXPECT_EQ(pausing.status().state, Supervisor::State::kPausing);
  pausing.Stop();
  EXPECT_EQ(pausing.status().state, Supervisor::State::kStopped);
}

}  // namespace
}  // namespace tandem
