#include "base/awake_cpus.h"

#include <sched.h>

#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/cpu_affinity.h"
#include "base/spin.h"
#include "base/thread_name.h"

namespace tandem {
namespace {

constexpr int kPausesPerLook = 64;

// The path of this process's cgroup (version 2), "/…"; empty where there is none.
std::string CgroupPath() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, "0::")) {
      return line.substr(3);
    }
  }
  return "";
}

}  // namespace

AwakeCpus::AwakeCpus(const std::vector<int>& cpus, absl::Duration linger)
    : linger_ns_(absl::ToInt64Nanoseconds(linger)) {
  for (const int cpu : cpus) {
    threads_.emplace_back([this, cpu] { Spin(cpu); });
  }
}

AwakeCpus::~AwakeCpus() {
  stopping_ = true;
  rounds_.fetch_add(1);
  rounds_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

// Store, then look for sleepers; Spin announces its sleep, then looks at the time: one of them sees the other.
void AwakeCpus::Touch() {
  until_ns_.store(MonotonicNanos() + linger_ns_);
  if (sleeping_.load() > 0) {
    rounds_.fetch_add(1);
    rounds_.notify_all();
  }
}

void AwakeCpus::Spin(int cpu) {
  SetThreadName(absl::StrCat("awake-", cpu));
  const ScopedCpuAffinity affinity({cpu});
  const sched_param lowest = {};
  if (sched_setscheduler(0, SCHED_IDLE, &lowest) != 0) {
    sleeping_.fetch_add(1);  // for good: with a priority like any other's it would be in everybody's way
    return;
  }
  while (!stopping_) {
    while (MonotonicNanos() < until_ns_.load(std::memory_order_relaxed) && !stopping_) {
      for (int i = 0; i < kPausesPerLook; ++i) {
        SpinPause();
      }
    }
    const uint32_t round = rounds_.load();
    sleeping_.fetch_add(1);
    if (MonotonicNanos() >= until_ns_.load() && !stopping_) {
      rounds_.wait(round);
    }
    sleeping_.fetch_sub(1);
  }
}

bool HasCpuQuota() {
  // A container often sees its own cgroup as the root.
  for (const std::string& path : {CgroupPath(), std::string()}) {
    std::ifstream file(absl::StrCat("/sys/fs/cgroup", path, "/cpu.max"));
    std::string quota;
    if (file >> quota && quota != "max") {
      return true;
    }
  }
  return false;
}

}  // namespace tandem
