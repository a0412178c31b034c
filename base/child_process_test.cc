#include "base/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> Shell(const std::string& script) { return {"/bin/sh", "-c", script}; }

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

std::unique_ptr<ChildProcess> SpawnOrDie(const std::vector<std::string>& argv, ChildOptions options = {}) {
  auto child = ChildProcess::Spawn(argv, std::move(options));
  EXPECT_TRUE(child.ok()) << child.status();
  return *std::move(child);
}

// Runs a script that writes one line to its readiness pipe, whose path is given to it as $1.
absl::StatusOr<std::string> LineOf(const std::string& script, ChildOptions options = {}) {
  auto pipe = ReadinessPipe::Create();
  EXPECT_TRUE(pipe.ok()) << pipe.status();
  options.inherited_fds.push_back(pipe->child_fd());
  const auto child =
      SpawnOrDie({"/bin/sh", "-c", script, "sh", absl::StrCat("/proc/self/fd/", pipe->child_fd())}, std::move(options));
  return pipe->ReadLine(Soon());
}

TEST(ChildProcessTest, ReportsTheExitCode) {
  EXPECT_EQ(SpawnOrDie(Shell("exit 3"))->Wait(Soon()), (ExitStatus{.code = 3, .signal = 0}));
  EXPECT_TRUE(SpawnOrDie(Shell("exit 0"))->Wait(Soon())->ok());
}

TEST(ChildProcessTest, AChildMaySayWhyItIsNotReady) {
  const auto line = LineOf("echo 'failed: no port is free' > $1; exit 1");
  EXPECT_EQ(line.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(line.status().message(), "no port is free");
}

TEST(ChildProcessTest, ReportsTheSignal) {
  const auto exit = SpawnOrDie(Shell("kill -KILL $$"))->Wait(Soon());
  EXPECT_EQ(exit, (ExitStatus{.code = 0, .signal = SIGKILL}));
  EXPECT_EQ(exit->ToString(), "signal 9 (Killed)");
}

TEST(ChildProcessTest, WaitsNoLongerThanItsDeadline) {
  const auto child = SpawnOrDie({"sleep", "1000"});
  EXPECT_EQ(child->Wait(absl::Now()), std::nullopt);
  child->Kill(SIGKILL);
  EXPECT_EQ(child->Wait(Soon())->signal, SIGKILL);
  EXPECT_EQ(child->Wait(absl::Now())->signal, SIGKILL) << "the status can be asked for again";
  child->Kill(SIGTERM);
}

TEST(ChildProcessTest, SaysWhyAProgramCannotBeExecuted) {
  const auto missing =
      ChildProcess::Spawn({"/no/such/program"}, {.name = "worker", .environment = {}, .inherited_fds = {}});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(missing.status().message(), HasSubstr("worker: cannot execute /no/such/program: No such file"));
  EXPECT_EQ(ChildProcess::Spawn({"/"}).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ChildProcess::Spawn({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ChildProcessTest, TerminatesPolitelyThenByForce) {
  EXPECT_EQ(SpawnOrDie({"sleep", "1000"})->Terminate(absl::Seconds(60)).signal, SIGTERM);
  auto pipe = ReadinessPipe::Create();
  ASSERT_TRUE(pipe.ok());
  ChildOptions options;
  options.inherited_fds = {pipe->child_fd()};
  const std::string path = absl::StrCat("/proc/self/fd/", pipe->child_fd());
  const auto stubborn =
      SpawnOrDie(Shell("trap '' TERM; echo deaf > " + path + "; exec sleep 1000"), std::move(options));
  ASSERT_TRUE(pipe->ReadLine(Soon()).ok());
  EXPECT_EQ(stubborn->Terminate(absl::Milliseconds(10)).signal, SIGKILL);
}

TEST(ChildProcessTest, DiesWithTheThreadThatSpawnedIt) {
  std::unique_ptr<ChildProcess> child;
  std::thread parent([&] { child = SpawnOrDie({"sleep", "1000"}); });
  parent.join();
  EXPECT_EQ(child->Wait(Soon())->signal, SIGKILL);
}

TEST(ChildProcessTest, ChangesTheEnvironment) {
  ASSERT_EQ(::setenv("TANDEM_TEST_OLD", "old", 1), 0);
  ASSERT_EQ(::setenv("TANDEM_TEST_KEPT", "kept", 1), 0);
  ChildOptions options;
  options.environment = {"TANDEM_TEST_OLD=new", "TANDEM_TEST_ADDED=a=b"};
  const auto line =
      LineOf("echo $TANDEM_TEST_OLD $TANDEM_TEST_KEPT $TANDEM_TEST_ADDED > $1; exec sleep 1000", std::move(options));
  EXPECT_EQ(line.value_or("failed"), "new kept a=b");
}

TEST(ChildProcessTest, LeavesOtherDescriptorsClosed) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);  // not close-on-exec
  const UniqueFd read(fds[0]);
  const UniqueFd write(fds[1]);
  const auto line =
      LineOf(absl::StrCat("if [ -e /proc/self/fd/", write.get(), " ]; then echo open; else echo closed; fi > $1"));
  EXPECT_EQ(line.value_or("failed"), "closed");
}

TEST(ReadinessPipeTest, GivesTheLineThatTheChildWrites) {
  EXPECT_EQ(LineOf("echo '{\"port\": 7001}' > $1; exec sleep 1000").value_or("failed"), "{\"port\": 7001}");
}

TEST(ReadinessPipeTest, NoticesAChildThatEndsTooEarly) {
  EXPECT_EQ(LineOf("exit 1").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(LineOf("printf half > $1").status().code(), absl::StatusCode::kUnavailable);
}

TEST(ReadinessPipeTest, DoesNotWaitForEver) {
  auto pipe = ReadinessPipe::Create();
  ASSERT_TRUE(pipe.ok());
  ChildOptions options;
  options.inherited_fds = {pipe->child_fd()};
  const auto child = SpawnOrDie({"sleep", "1000"}, std::move(options));
  EXPECT_EQ(pipe->ReadLine(absl::Now() + absl::Milliseconds(5)).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(ReadinessPipeTest, RefusesAnEndlessLine) {
  EXPECT_EQ(LineOf("head -c 9000 /dev/zero > $1").status().code(), absl::StatusCode::kInternal);
}

TEST(ReadinessPipeTest, TheChildsHelperWritesOneLine) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const UniqueFd read(fds[0]);
  ASSERT_EQ(WriteReadyLine(fds[1], "ready"), absl::OkStatus());
  char text[16] = {};
  EXPECT_EQ(::read(fds[0], text, sizeof(text)), 6);
  EXPECT_STREQ(text, "ready\n");
  EXPECT_EQ(::read(fds[0], text, sizeof(text)), 0) << "the descriptor is closed";
  EXPECT_THAT(WriteReadyLine(-1, "x").message(), HasSubstr("file descriptor -1"));
}

}  // namespace
}  // namespace tandem
