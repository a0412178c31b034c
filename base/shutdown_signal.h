// SIGTERM and SIGINT as something to wait for.
#pragma once

#include "absl/time/time.h"

namespace tandem {

// Blocks both signals for the calling thread and all threads that it starts afterwards: construct it first thing in a
// process, once. A second signal while draining ends the process at once with code 130.
class ShutdownSignal {
 public:
  ShutdownSignal();

  // Returns when one of the signals has come.
  void Wait();

  // Makes Wait return as if a signal had come. Thread-safe.
  static void Raise();
};

}  // namespace tandem
