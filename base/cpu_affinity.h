// Which CPUs threads run on.
#pragma once

#include <sched.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

// The CPUs that this process may use, ascending.
std::vector<int> AvailableCpus();

// "0-3,8" as a list. Errors: INVALID_ARGUMENT naming what is wrong.
absl::StatusOr<std::vector<int>> ParseCpuList(absl::string_view text);

// Restricts this process to some CPUs: the calling thread, which should be the only one so far, and whatever it starts,
// child processes too. Errors: INVALID_ARGUMENT when it may use none of them.
absl::Status RestrictToCpus(const std::vector<int>& cpus);

// Binds the calling thread, and the threads that it creates meanwhile, to some CPUs, whatever an outer one has bound it
// to; gives back what was before when it goes. CPUs that do not exist are ignored; with none that does, nothing
// changes.
class ScopedCpuAffinity {
 public:
  explicit ScopedCpuAffinity(const std::vector<int>& cpus);
  ~ScopedCpuAffinity();
  ScopedCpuAffinity(const ScopedCpuAffinity&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace tandem
