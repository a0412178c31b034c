// Shared by the tests of the CPU backend.
#pragma once

#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "compute/backend.h"
#include "compute/cpu/cpu_backend.h"
#include "compute/wire_rows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace tandem::compute::cpu {

// Bits of a vector of floats: equality that tells -0 from 0 and lets NaN equal itself.
inline std::vector<uint32_t> Bits(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size() * sizeof(float));
  return bits;
}

// Uniform in [-1, 1).
inline std::vector<float> RandomVector(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) {
    value = static_cast<float>(static_cast<int32_t>(generator())) * 0x1p-31f;
  }
  return values;
}

inline std::vector<float> RoundedToBF16(std::vector<float> values) {
  for (float& value : values) {
    value = BF16ToF32(F32ToBF16(value));
  }
  return values;
}

inline std::vector<float> RoundedTo(DType dtype, const std::vector<float>& values) {
  return dtype == DType::kBF16 ? RoundedToBF16(values) : values;
}

inline Tensor Make(Backend& backend, DType dtype, Shape shape) {
  absl::StatusOr<Tensor> tensor = backend.Allocate(dtype, shape);
  TANDEM_CHECK(tensor.ok(), tensor.status().message());
  return *std::move(tensor);
}

inline Tensor Make(Backend& backend, DType dtype, Shape shape, const std::vector<float>& values) {
  Tensor tensor = Make(backend, dtype, shape);
  TANDEM_CHECK(static_cast<int64_t>(values.size()) == shape.num_elements());
  if (dtype == DType::kF32) {
    backend.Upload(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(values.data()), values.size() * 4), tensor);
    return tensor;
  }
  std::vector<uint16_t> halves;
  for (float value : values) {
    halves.push_back(F32ToBF16(value));
  }
  backend.Upload(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(halves.data()), halves.size() * 2), tensor);
  return tensor;
}

// Rows [n, hidden_size] as a router dispatches them (compute/wire_rows.h).
inline Tensor MakeDispatchRows(Backend& backend, DType wire, int64_t hidden_size, const std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size()) / hidden_size;
  std::vector<int32_t> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  const Tensor rows = Make(backend, wire, {n, DispatchRowElements(wire, hidden_size)});
  backend.GatherRows(Make(backend, DType::kF32, {n, hidden_size}, values), all, rows);
  return rows;
}

template <typename T>
std::vector<T> Read(Backend& backend, const Tensor& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.num_elements()));
  backend.Download(tensor, absl::MakeSpan(reinterpret_cast<std::byte*>(values.data()), values.size() * sizeof(T)));
  return values;
}

// Values of an f32 or bf16 tensor.
inline std::vector<float> Values(Backend& backend, const Tensor& tensor) {
  if (tensor.dtype() == DType::kF32) {
    return Read<float>(backend, tensor);
  }
  std::vector<float> values;
  for (uint16_t bits : Read<uint16_t>(backend, tensor)) {
    values.push_back(BF16ToF32(bits));
  }
  return values;
}

// What dispatched rows stand for, as f32.
inline std::vector<float> DispatchedValues(Backend& backend, const Tensor& rows, int64_t hidden_size) {
  if (rows.dtype() != DType::kF8E4M3) {
    return Values(backend, rows);
  }
  std::vector<float> values;
  const std::vector<uint8_t> bytes = Read<uint8_t>(backend, rows);
  for (const uint8_t* row = bytes.data(); row != bytes.data() + bytes.size(); row += rows.dim(1)) {
    float scale;
    std::memcpy(&scale, row + hidden_size, sizeof(scale));
    for (int64_t i = 0; i < hidden_size; ++i) {
      values.push_back(F8E4M3ToF32(row[i]) * scale);
    }
  }
  return values;
}

inline KvCacheLayer MakeCache(Backend& backend, const KvRow& row, DType dtype, int64_t num_blocks, int64_t block_size) {
  absl::StatusOr<KvCacheLayer> cache = AllocateKvCacheLayer(backend, row, dtype, num_blocks, block_size);
  TANDEM_CHECK(cache.ok(), cache.status().message());
  return *std::move(cache);
}

// The elements of a cache's keys or values as the codes and scales define them; `first_part` elements of a row, if not
// all, have the first of two scales.
inline std::vector<double> CacheValues(Backend& backend, const Tensor& rows, const Tensor& scales, int64_t first_part) {
  if (!IsQuantized(rows.dtype())) {
    const std::vector<float> values = Values(backend, rows);
    return {values.begin(), values.end()};
  }
  const std::vector<uint8_t> codes = Read<uint8_t>(backend, rows);
  const std::vector<float> factors = Read<float>(backend, scales);
  const auto dim = static_cast<size_t>(rows.dim(3));
  std::vector<double> values(codes.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    const size_t part = i % dim < static_cast<size_t>(first_part) ? 0 : 1;
    const double code =
        rows.dtype() == DType::kI8 ? static_cast<int8_t>(codes[i]) : double{F8E4M3ToF32(codes[i])};
    values[i] = code * double{factors[i / dim * static_cast<size_t>(scales.dim(3)) + part]};
  }
  return values;
}
inline std::vector<double> CachedKeys(Backend& backend, const KvCacheLayer& cache, int64_t first_part) {
  return CacheValues(backend, cache.keys, cache.key_scales, first_part);
}
inline std::vector<double> CachedValues(Backend& backend, const KvCacheLayer& cache) {
  return CacheValues(backend, cache.values, cache.value_scales, cache.values.dim(3));
}

// Rows of a row-major matrix that outlives the reader.
inline RowReader RowsOf(const std::vector<float>& matrix, int64_t cols) {
  return [&matrix, cols](int64_t row, absl::Span<float> out) {
    TANDEM_CHECK(static_cast<int64_t>(out.size()) == cols);
    std::copy_n(matrix.begin() + row * cols, cols, out.begin());
  };
}

// Lets kernels use one instruction set only while it lives.
class ScopedTarget {
 public:
  explicit ScopedTarget(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  ~ScopedTarget() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

// The instruction sets with kernels that this machine can run, and the portable fallback.
inline std::vector<int64_t> TestTargets() {
  std::vector<int64_t> targets;
#if HWY_ARCH_X86
  for (int64_t target : {HWY_AVX3, HWY_AVX2}) {
    if ((hwy::SupportedTargets() & target) != 0) {
      targets.push_back(target);
    }
  }
  targets.push_back(HWY_EMU128 | HWY_SCALAR);
#else
  targets.push_back(hwy::SupportedTargets());
#endif
  return targets;
}

// Calls run(backend), which returns the bits of a result, on every instruction set with 1, 2 and 3 threads and expects
// one answer.
template <typename RunOnBackend>
void ExpectSameBitsEverywhere(const RunOnBackend& run) {
  std::vector<uint32_t> first;
  for (int64_t target : TestTargets()) {
    const ScopedTarget scope(target);
    for (int threads : {1, 2, 3}) {
      CpuOptions options;
      options.num_threads = threads;
      const std::unique_ptr<Backend> backend = CreateCpuBackend(options);
      const std::vector<uint32_t> bits = Bits(run(*backend));
      if (first.empty()) {
        first = bits;
      }
      ASSERT_EQ(bits, first) << hwy::TargetName(target) << " with " << threads << " threads";
    }
  }
}

}  // namespace tandem::compute::cpu
