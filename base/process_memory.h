// What the operating system says about this process.
#pragma once

#include <cstdint>

namespace tandem {

// Resident memory (VmRSS of /proc/self/status) in bytes; 0 where it cannot be read.
int64_t ResidentMemoryBytes();

}  // namespace tandem
