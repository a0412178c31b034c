// Keeps CPUs from halting while there is work for them in between short waits.
//
// A thread that waits for another one for a fraction of a millisecond sleeps, and its CPU, with nothing else to run,
// halts. Waking it then takes tens of microseconds (a virtual machine leaves to its host, a processor leaves a deep
// idle state) instead of a few, several times in each layer. Here threads of the lowest priority (SCHED_IDLE), one for
// each CPU, spin in place of halting: whatever else wants the CPU gets it at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace tandem {

// Owns and joins the threads ("awake-N"). Thread-safe.
class AwakeCpus {
 public:
  // `linger`: for how long after a Touch the CPUs stay awake.
  explicit AwakeCpus(const std::vector<int>& cpus, absl::Duration linger = absl::Milliseconds(100));
  ~AwakeCpus();
  AwakeCpus(const AwakeCpus&) = delete;

  // There is work, and will be for a while. Some ten nanoseconds, unless it ends a pause.
  void Touch();

  // True while the CPUs are kept awake.
  bool awake() const { return sleeping_.load() < static_cast<int>(threads_.size()); }

 private:
  void Spin(int cpu);

  const int64_t linger_ns_;
  std::atomic<int64_t> until_ns_ = 0;
  std::atomic<int> sleeping_ = 0;     // threads that wait for the next round
  std::atomic<uint32_t> rounds_ = 0;  // begun by Touch
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> threads_;
};

// True where spinning would use up what this process may compute: a cgroup of its own has a limit on CPU time
// (cpu.max).
bool HasCpuQuota();

}  // namespace tandem
