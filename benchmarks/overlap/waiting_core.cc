// What waiting does to computing: the same arithmetic, over data that fit a core's first cache, right after the last
// time and after the core has spun for a while. Argument: the wait in microseconds. Processors that lower the clock or
// the power of units that rest take longer for milliseconds; a pipeline that waits for a network pays it in the steps
// that follow, whoever built it.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/cpu_affinity.h"
#include "base/spin.h"

namespace tandem {
namespace {

constexpr int kFloats = 4096;
constexpr int kPasses = 4000;  // about a millisecond

void SpinFor(int64_t nanos) {
  const int64_t end = MonotonicNanos() + nanos;
  while (MonotonicNanos() < end) {
    SpinPause();
  }
}

float Compute(const std::vector<float>& data) {
  constexpr int kLanes = 64;
  float sums[kLanes] = {};
  for (int pass = 0; pass < kPasses; ++pass) {
    for (int i = 0; i < kFloats; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        sums[lane] += data[i + lane] * 0.5f;
      }
    }
  }
  float sum = 0;
  for (const float lane : sums) {
    sum += lane;
  }
  return sum;
}

void ComputeAfterWaiting(benchmark::State& state) {
  const ScopedCpuAffinity affinity({AvailableCpus().back()});
  const std::vector<float> data(kFloats, 1);
  for (auto _ : state) {
    SpinFor(state.range(0) * 1000);
    const int64_t begin = MonotonicNanos();
    benchmark::DoNotOptimize(Compute(data));
    state.SetIterationTime(static_cast<double>(MonotonicNanos() - begin) * 1e-9);
  }
}
BENCHMARK(ComputeAfterWaiting)->Arg(0)->Arg(200)->Arg(1000)->Arg(4000)->Arg(10000)->UseManualTime()->MinTime(0.2);

}  // namespace
}  // namespace tandem

BENCHMARK_MAIN();
