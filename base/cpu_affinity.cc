#include "base/cpu_affinity.h"

#include <pthread.h>

namespace tandem {

std::vector<int> AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) {
        cpus.push_back(cpu);
      }
    }
  }
  return cpus;
}

ScopedCpuAffinity::ScopedCpuAffinity(const std::vector<int>& cpus) {
  CPU_ZERO(&before_);
  pthread_getaffinity_np(pthread_self(), sizeof(before_), &before_);
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  for (const int cpu : cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) {
      CPU_SET(cpu, &wanted);
    }
  }
  // The kernel leaves out what this process may not use, and refuses when nothing is left.
  pthread_setaffinity_np(pthread_self(), sizeof(wanted), &wanted);
}

ScopedCpuAffinity::~ScopedCpuAffinity() { pthread_setaffinity_np(pthread_self(), sizeof(before_), &before_); }

}  // namespace tandem
