// What clients ask of a simulated service.
#pragma once

#include <cstdint>

namespace tandem::scheduler {

struct LoadProfile {
  // Open loop: requests arrive on their own, `rate` a second in all, as a Poisson process. 0: closed loop, in which
  // `concurrency` clients ask again as soon as they are answered.
  double rate = 0;
  int concurrency = 1;
  int64_t prompt_tokens = 128;
  int64_t output_tokens = 64;
  double length_spread = 0;       // lengths are even within ± this share of the mean
  double prefix_cache_share = 0;  // of each prompt, found in the cache
  int requests = 256;             // simulated until so many were answered
  // Begins in the middle of the load: as many sequences as it keeps running, at even places of their answers. Otherwise
  // the service begins idle, and closed-loop clients all ask at time zero.
  bool warm = true;
  uint64_t seed = 1;
};

// Random numbers in [0, 1) by counter (SplitMix64, Steele et al., OOPSLA 2014): number `index` of stream `stream` of a
// seed does not depend on how many were drawn before.
double CounterRandom(uint64_t seed, uint64_t stream, uint64_t index);

struct RequestShape {
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
};

// Of request number `index`.
RequestShape ShapeOf(const LoadProfile& load, uint64_t index);
// Seconds between the arrivals of requests `index - 1` and `index` of an open loop.
double ArrivalGap(const LoadProfile& load, uint64_t index);

}  // namespace tandem::scheduler
