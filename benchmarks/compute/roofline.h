// What this machine can do at best: the bounds that kernel measurements are held against.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/cpu/thread_pool.h"

namespace tandem::benchmarks {

// Reads `size_bytes` (a multiple of 4096) once, front to back within each thread's share; returns something that
// depends on every byte.
float StreamRead(compute::cpu::ThreadPool& pool, const std::byte* data, size_t size_bytes);

// Runs `iterations` rounds of independent fused multiply-adds in registers on every thread; returns the number of
// floating-point operations done.
double FusedMultiplyAdds(compute::cpu::ThreadPool& pool, int64_t iterations);

}  // namespace tandem::benchmarks
