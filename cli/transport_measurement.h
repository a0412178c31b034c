// What a frame's round trip costs between two threads of this machine: link profiles for `tandem plan`.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem::cli {

struct TransportSpeed {
  std::string name;             // "in-process", "shm", "grpc-unix", "grpc-tcp"
  double round_trip = 0;        // seconds, median: one row there, one output back, and nothing computed
  double bytes_per_second = 0;  // of 1 MiB frames, one after the other, both directions counted
};

// In-process, shared memory, and gRPC over a Unix socket and over TCP on the loopback interface. Threads go where the
// system puts them. Errors: those of starting a server and of frames.
absl::StatusOr<std::vector<TransportSpeed>> MeasureTransports(int rounds);

}  // namespace tandem::cli
