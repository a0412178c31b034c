// What a simulated network does to each frame: a pure function of its conditions and of the frame's number, so that a
// run can be repeated from its seed whatever the threads do.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace tandem::transport {

// Probabilities are per frame, and for each direction on its own where the frame crosses twice.
struct NetworkConditions {
  absl::Duration latency;       // one way
  absl::Duration jitter;        // up to so much more, evenly distributed; frames may overtake each other
  double bytes_per_second = 0;  // of each direction; 0: unlimited. Frames queue up behind each other
  double loss = 0;              // the frame ends with UNAVAILABLE instead of reaching the worker
  double reordering = 0;        // each way: the frame is held back for `hold_back` while others pass
  absl::Duration hold_back;
  double stalling = 0;  // each way: the direction stands still for `stall` before the frame, and all behind it wait
  absl::Duration stall;
  double duplication = 0;  // the frame reaches the worker twice, and is answered twice
  double corruption = 0;   // each way: some bytes of the frame, or of its answer, are changed
  uint64_t seed = 1;
};

// One crossing.
struct CrossingFate {
  absl::Duration delay;      // beyond latency and bandwidth, of this frame alone
  absl::Duration stall;      // of everything from this frame on
  uint64_t damage_seed = 0;  // which bytes are changed; 0: none
};

struct FrameFate {
  bool lost = false;
  bool duplicated = false;
  CrossingFate out;
  CrossingFate back;
};

FrameFate FateOf(const NetworkConditions& conditions, uint64_t frame);

}  // namespace tandem::transport
