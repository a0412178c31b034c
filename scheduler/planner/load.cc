#include "scheduler/planner/load.h"

#include <algorithm>
#include <cmath>

namespace tandem::scheduler {
namespace {

enum Stream : uint64_t { kPrompt, kOutput, kGap };

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

int64_t Vary(int64_t mean, double spread, double random) {
  return std::max<int64_t>(std::llround(static_cast<double>(mean) * (1 + spread * (2 * random - 1))), 1);
}

}  // namespace

double CounterRandom(uint64_t seed, uint64_t stream, uint64_t index) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  const uint64_t bits = Mix(Mix(Mix(seed + kGolden) + stream * kGolden) + (index + 1) * kGolden);
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

RequestShape ShapeOf(const LoadProfile& load, uint64_t index) {
  return {.prompt_tokens = Vary(load.prompt_tokens, load.length_spread, CounterRandom(load.seed, kPrompt, index)),
          .output_tokens = Vary(load.output_tokens, load.length_spread, CounterRandom(load.seed, kOutput, index))};
}

double ArrivalGap(const LoadProfile& load, uint64_t index) {
  return -std::log1p(-CounterRandom(load.seed, kGap, index)) / load.rate;
}

}  // namespace tandem::scheduler
