// The Backend for CPUs: AVX2, AVX-512 and NEON kernels on packed weights, one thread pool. All instruction sets and
// thread counts give the same bits. Work is done when a call returns.
#pragma once

#include <memory>
#include <vector>

#include "compute/backend.h"

namespace tandem::compute::cpu {

struct CpuOptions {
  int num_threads = 0;            // including the calling thread; 0: one per CPU that the process may run on
  std::vector<int> cpu_affinity;  // worker thread i is pinned to cpu_affinity[i % size]; empty: not pinned
  int spin_microseconds = 50;     // longest time that an idle worker thread spins before it sleeps
};

std::unique_ptr<Backend> CreateCpuBackend(const CpuOptions& options = {});

}  // namespace tandem::compute::cpu
