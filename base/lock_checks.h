// What a program decides about its locks before it makes threads.
#pragma once

#include "absl/synchronization/mutex.h"

namespace tandem {

// Debian's abseil records the order in which locks are taken, to report cycles: under one lock for the whole process,
// which makes every other lock 3 to 14 times as dear. Release builds do without; debug and sanitizer builds check.
inline void SkipLockChecksInRelease() {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

}  // namespace tandem
