// Which CPUs threads run on.
#pragma once

#include <sched.h>

#include <vector>

namespace tandem {

// The CPUs that this process may use, ascending.
std::vector<int> AvailableCpus();

// Binds the calling thread, and the threads that it creates meanwhile, to some CPUs, whatever an outer one has bound it to;
// gives back what was before when it goes. CPUs that do not exist are ignored; with none that does, nothing changes.
class ScopedCpuAffinity {
 public:
  explicit ScopedCpuAffinity(const std::vector<int>& cpus);
  ~ScopedCpuAffinity();
  ScopedCpuAffinity(const ScopedCpuAffinity&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace tandem
