#include "benchmarks/compute/roofline.h"

#include <vector>

#include "benchmark/benchmark.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "benchmarks/compute/roofline.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::benchmarks {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float ReadBlock(const std::byte* data, size_t size_bytes) {
  const hn::ScalableTag<uint32_t> d;
  const size_t step = hn::Lanes(d);
  const auto* from = reinterpret_cast<const uint32_t*>(data);
  const size_t n = size_bytes / sizeof(uint32_t);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (size_t i = 0; i < n; i += 4 * step) {
    a = hn::Xor(a, hn::LoadU(d, from + i));
    b = hn::Xor(b, hn::LoadU(d, from + i + step));
    c = hn::Xor(c, hn::LoadU(d, from + i + 2 * step));
    e = hn::Xor(e, hn::LoadU(d, from + i + 3 * step));
  }
  return static_cast<float>(hn::GetLane(hn::Xor(hn::Xor(a, b), hn::Xor(c, e))));
}

double MultiplyAdds(int64_t iterations) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999f), y = hn::Set(d, 1e-6f);
  // Ten chains hide the latency of four or five cycles on two units and fit sixteen registers. They must differ, or the
  // compiler computes one.
  auto a0 = hn::Set(d, 0.0f), a1 = hn::Set(d, 0.1f), a2 = hn::Set(d, 0.2f), a3 = hn::Set(d, 0.3f),
       a4 = hn::Set(d, 0.4f), a5 = hn::Set(d, 0.5f), a6 = hn::Set(d, 0.6f), a7 = hn::Set(d, 0.7f),
       a8 = hn::Set(d, 0.8f), a9 = hn::Set(d, 0.9f);
  for (int64_t i = 0; i < iterations; ++i) {
    a0 = hn::MulAdd(a0, x, y);
    a1 = hn::MulAdd(a1, x, y);
    a2 = hn::MulAdd(a2, x, y);
    a3 = hn::MulAdd(a3, x, y);
    a4 = hn::MulAdd(a4, x, y);
    a5 = hn::MulAdd(a5, x, y);
    a6 = hn::MulAdd(a6, x, y);
    a7 = hn::MulAdd(a7, x, y);
    a8 = hn::MulAdd(a8, x, y);
    a9 = hn::MulAdd(a9, x, y);
  }
  const auto sum = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)),
                           hn::Add(hn::Add(hn::Add(a4, a5), hn::Add(a6, a7)), hn::Add(a8, a9)));
  benchmark::DoNotOptimize(hn::GetLane(sum));
  return 10.0 * 2.0 * static_cast<double>(hn::Lanes(d)) * static_cast<double>(iterations);
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::benchmarks
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::benchmarks {

HWY_EXPORT(ReadBlock);
HWY_EXPORT(MultiplyAdds);

float StreamRead(compute::cpu::ThreadPool& pool, const std::byte* data, size_t size_bytes) {
  const int64_t pieces = int64_t{6} * pool.num_threads();
  std::vector<float> results(static_cast<size_t>(pieces));
  const size_t pages = size_bytes / 4096;
  pool.Run(pieces, [&](int64_t i) {
    const size_t begin = pages * static_cast<size_t>(i) / static_cast<size_t>(pieces) * 4096;
    const size_t end = pages * static_cast<size_t>(i + 1) / static_cast<size_t>(pieces) * 4096;
    results[static_cast<size_t>(i)] = HWY_DYNAMIC_DISPATCH(ReadBlock)(data + begin, end - begin);
  });
  float sum = 0;
  for (float result : results) {
    sum += result;
  }
  return sum;
}

double FusedMultiplyAdds(compute::cpu::ThreadPool& pool, int64_t iterations) {
  std::vector<double> operations(static_cast<size_t>(pool.num_threads()));
  pool.Run(pool.num_threads(),
           [&](int64_t i) { operations[static_cast<size_t>(i)] = HWY_DYNAMIC_DISPATCH(MultiplyAdds)(iterations); });
  double total = 0;
  for (double n : operations) {
    total += n;
  }
  return total;
}

}  // namespace tandem::benchmarks
#endif  // HWY_ONCE
