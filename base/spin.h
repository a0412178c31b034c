// What threads that spin need.
#pragma once

#include <chrono>
#include <cstdint>

namespace tandem {

// Tells the processor that this is a loop that waits: it saves power, and leaves a sibling thread its share of the
// core.
inline void SpinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Of a clock that never goes back.
inline int64_t MonotonicNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace tandem
