#include "transport/network_fate.h"

namespace tandem::transport {
namespace {

// splitmix64's finalizer (Steele, Lea and Flood, OOPSLA 2014) of a counter.
class Draws {
 public:
  Draws(uint64_t seed, uint64_t frame) : state_(Mix(Mix(seed) + frame)) {}

  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15u); }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }  // [0, 1)
  bool Happens(double probability) { return Uniform() < probability; }

 private:
  static uint64_t Mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

  uint64_t state_;
};

CrossingFate Crossing(const NetworkConditions& conditions, Draws& draws) {
  CrossingFate fate;
  fate.delay = conditions.jitter * draws.Uniform();
  if (draws.Happens(conditions.reordering)) {
    fate.delay += conditions.hold_back;
  }
  if (draws.Happens(conditions.stalling)) {
    fate.stall = conditions.stall;
  }
  if (draws.Happens(conditions.corruption)) {
    fate.damage_seed = draws.Next() | 1;
  }
  return fate;
}

}  // namespace

FrameFate FateOf(const NetworkConditions& conditions, uint64_t frame) {
  Draws draws(conditions.seed, frame);
  FrameFate fate;
  fate.lost = draws.Happens(conditions.loss);
  fate.duplicated = draws.Happens(conditions.duplication);
  fate.out = Crossing(conditions, draws);
  fate.back = Crossing(conditions, draws);
  return fate;
}

}  // namespace tandem::transport
