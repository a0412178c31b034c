#include "base/cpu_affinity.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

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

absl::StatusOr<std::vector<int>> ParseCpuList(absl::string_view text) {
  std::vector<int> cpus;
  for (const absl::string_view range : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(range, absl::MaxSplits('-', 1));
    int first = 0;
    int last = 0;
    if (!absl::SimpleAtoi(ends.first, &first) ||
        !absl::SimpleAtoi(range.find('-') == range.npos ? ends.first : ends.second, &last) || first < 0 ||
        last < first || last >= CPU_SETSIZE) {
      return absl::InvalidArgumentError(absl::StrCat("'", range, "' is not a CPU or a range of CPUs, as in 0-3,8"));
    }
    for (int cpu = first; cpu <= last; ++cpu) {
      cpus.push_back(cpu);
    }
  }
  return cpus;
}

absl::Status RestrictToCpus(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) {
    CPU_SET(cpu, &set);
  }
  if (sched_setaffinity(0, sizeof(set), &set) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("this process may use none of the CPUs ", absl::StrJoin(cpus, ",")));
  }
  return absl::OkStatus();
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
