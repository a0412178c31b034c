// A channel behind a network that is not there: adds latency, jitter, limited bandwidth and faults to another channel.
// For measuring overlap on one machine (`tandem bench overlap`) and for tests. By the invariance contract nothing that it
// does changes a token.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "transport/expert_channel.h"

namespace tandem::transport {

struct NetworkConditions {
  absl::Duration latency;        // one way
  absl::Duration jitter;         // up to so much more, evenly distributed; answers may overtake each other
  double bytes_per_second = 0;   // of each direction; 0: unlimited. Frames queue up behind each other
  double loss = 0;               // probability that a frame ends with UNAVAILABLE instead of reaching the worker
  uint64_t seed = 1;
};

// Wraps `inner`. Handshake and LoadExperts pass through at once. One thread ("network") for each channel; it sleeps until
// shortly before a frame is due and spins the rest, so delays are exact to a few microseconds. Destroying the channel ends
// frames that are on their way with UNAVAILABLE.
std::unique_ptr<ExpertChannel> MakeSimulatedNetworkChannel(std::unique_ptr<ExpertChannel> inner,
                                                           const NetworkConditions& conditions);

}  // namespace tandem::transport
