// Operations on rows, memory and events.
#include <cmath>
#include <limits>

#include "compute/cpu/row_kernels.h"
#include "compute/cpu/test_util.h"

namespace tandem::compute::cpu {
namespace {

constexpr int64_t kWidths[] = {1, 7, 16, 80, 257};

TEST(RowsTest, EmbedGatherAndScatterMoveRows) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  for (int64_t width : kWidths) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      const std::vector<float> table = RandomVector(9 * width, 1);
      const std::vector<int32_t> ids = {8, 0, 3, 3};
      const Tensor embedded = Make(*backend, DType::kF32, {4, width});
      backend->Embed(Make(*backend, dtype, {9, width}, table), ids, embedded);
      const Tensor gathered = Make(*backend, dtype, {4, width});
      backend->GatherRows(Make(*backend, DType::kF32, {9, width}, table), ids, gathered);
      const Tensor scattered = Make(*backend, dtype, {9, width});
      const std::vector<int32_t> slots = {5, 0, 8, 2};
      backend->ScatterRows(gathered, slots, scattered);
      const std::vector<float> rounded = RoundedTo(dtype, table);
      const std::vector<float> e = Values(*backend, embedded), g = Values(*backend, gathered),
                               s = Values(*backend, scattered);
      for (int64_t i = 0; i < 4; ++i) {
        for (int64_t k = 0; k < width; ++k) {
          const float expected = rounded[static_cast<size_t>(ids[static_cast<size_t>(i)] * width + k)];
          ASSERT_EQ(e[static_cast<size_t>(i * width + k)], expected);
          ASSERT_EQ(g[static_cast<size_t>(i * width + k)], expected);
          ASSERT_EQ(s[static_cast<size_t>(slots[static_cast<size_t>(i)] * width + k)], expected);
        }
      }
    }
  }
}

TEST(RowsTest, F8DispatchRowsHoldCodesAndTheRowsScale) {
  constexpr int64_t kWidth = 37;
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  std::vector<float> table = RandomVector(5 * kWidth, 1);
  for (size_t i = 0; i < table.size(); ++i) {
    table[i] *= std::pow(10.0f, static_cast<float>(i / kWidth) * 3 - 6);  // a row's size does not matter
  }
  std::fill_n(table.begin() + 2 * kWidth, kWidth, 0.0f);
  const Tensor rows = Make(*backend, DType::kF8E4M3, {3, DispatchRowElements(DType::kF8E4M3, kWidth)});
  const std::vector<int32_t> ids = {4, 2, 0};
  backend->GatherRows(Make(*backend, DType::kF32, {5, kWidth}, table), ids, rows);
  EXPECT_EQ(rows.size_bytes(), 3 * (kWidth + 4));
  const std::vector<float> values = DispatchedValues(*backend, rows, kWidth);
  for (size_t i = 0; i < 3; ++i) {
    const float* const want = table.data() + ids[i] * kWidth;
    float largest = 0;
    for (int64_t k = 0; k < kWidth; ++k) largest = std::max(largest, std::abs(want[k]));
    for (int64_t k = 0; k < kWidth; ++k) {
      // Three bits of mantissa; below the normal codes a step is the largest magnitude over 448 · 2^9.
      const float tolerance = std::max(std::abs(want[k]) / 16, largest / (448 * 1024)) * 1.00001f;
      EXPECT_NEAR(values[i * kWidth + static_cast<size_t>(k)], want[k], tolerance) << "row " << i << ", " << k;
    }
  }
}

TEST(RowsTest, RoundingMatchesTheScalarConversionForAllUpperHalves) {
  std::vector<float> values;
  for (uint32_t high = 0; high < 0x10000; ++high) {
    for (uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      values.push_back(std::bit_cast<float>(high << 16 | low));
    }
  }
  for (int64_t target : TestTargets()) {
    const ScopedTarget scope(target);
    std::vector<uint16_t> rounded(values.size());
    std::vector<float> widened(values.size());
    ConvertRow(values.data(), DType::kF32, rounded.data(), DType::kBF16, static_cast<int64_t>(values.size()));
    ConvertRow(rounded.data(), DType::kBF16, widened.data(), DType::kF32, static_cast<int64_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(rounded[i], F32ToBF16(values[i])) << std::bit_cast<uint32_t>(values[i]);
      ASSERT_EQ(std::bit_cast<uint32_t>(widened[i]), uint32_t{rounded[i]} << 16);
    }
  }
}

TEST(RowsTest, ExpIsAccurateAndHasTheSameBitsOnEveryInstructionSet) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> inputs = {0.0f, -0.0f, inf, -inf, 3e38f, -3e38f, 88.7f, 88.8f, -87.4f, -103.9f, -104.1f};
  for (float x = -103.5f; x < 88.5f; x += 0.00371f) {
    inputs.push_back(x);
  }
  std::vector<uint32_t> first;
  for (int64_t target : TestTargets()) {
    const ScopedTarget scope(target);
    std::vector<float> values = inputs;
    ExpRow(values.data(), static_cast<int64_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
      const double expected = std::exp(static_cast<double>(inputs[i]));
      if (expected > std::numeric_limits<float>::max()) {
        ASSERT_EQ(values[i], inf) << inputs[i];
      } else {
        // The smallest denormal is the spacing below the normal range.
        ASSERT_NEAR(values[i], expected, expected * 0x1p-22 + 0x1p-149) << inputs[i];
      }
    }
    first = first.empty() ? Bits(values) : first;
    ASSERT_EQ(Bits(values), first) << hwy::TargetName(target);
    float nan = std::numeric_limits<float>::quiet_NaN();
    ExpRow(&nan, 1);
    ASSERT_TRUE(std::isnan(nan));
  }
}

TEST(RowsTest, RmsNormAgreesWithDoubleAndItself) {
  for (int64_t width : kWidths) {
    const std::vector<float> x = RandomVector(70 * width, 1), weight = RandomVector(width, 2);
    const auto run = [&](Backend& backend) {
      const Tensor rows = Make(backend, DType::kF32, {70, width}, x);
      backend.RmsNorm(rows, Make(backend, DType::kF32, {width}, weight), 1e-5f, rows);
      return Values(backend, rows);
    };
    ExpectSameBitsEverywhere(run);
    const std::unique_ptr<Backend> backend = CreateCpuBackend();
    const std::vector<float> out = run(*backend);
    for (int64_t i = 0; i < 70; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < width; ++k) {
        sum += double{x[static_cast<size_t>(i * width + k)]} * x[static_cast<size_t>(i * width + k)];
      }
      for (int64_t k = 0; k < width; ++k) {
        const double expected = x[static_cast<size_t>(i * width + k)] /
                                std::sqrt(sum / static_cast<double>(width) + double{1e-5f}) *
                                weight[static_cast<size_t>(k)];
        ASSERT_NEAR(out[static_cast<size_t>(i * width + k)], expected, 2e-6 * (1 + std::abs(expected)));
      }
    }
  }
}

TEST(RowsTest, CombineAddsExpertsInGateOrderThenSharedThenResidual) {
  constexpr int kTopK = 3;
  for (int64_t width : kWidths) {
    for (DType wire : {DType::kF32, DType::kBF16}) {
      for (bool with_shared : {false, true}) {
        const std::vector<float> weights = RandomVector(5 * kTopK, 1), shared = RandomVector(5 * width, 3),
                                 h = RandomVector(5 * width, 4);
        const std::vector<float> experts = RoundedTo(wire, RandomVector(5 * kTopK * width, 2));
        const auto run = [&](Backend& backend) {
          const Tensor residual = Make(backend, DType::kF32, {5, width}, h);
          backend.Combine(Make(backend, DType::kF32, {5, kTopK}, weights),
                          Make(backend, wire, {5 * kTopK, width}, experts),
                          with_shared ? Make(backend, DType::kF32, {5, width}, shared) : Tensor(), residual);
          return Values(backend, residual);
        };
        ExpectSameBitsEverywhere(run);
        const std::unique_ptr<Backend> backend = CreateCpuBackend();
        const std::vector<float> out = run(*backend);
        for (size_t i = 0; i < out.size(); ++i) {
          const size_t row = i / static_cast<size_t>(width), k = i % static_cast<size_t>(width);
          float sum = 0;
          for (size_t j = 0; j < kTopK; ++j) {
            sum = std::fma(weights[row * kTopK + j], experts[(row * kTopK + j) * static_cast<size_t>(width) + k], sum);
          }
          ASSERT_EQ(out[i], h[i] + (with_shared ? sum + shared[i] : sum));
        }
      }
    }
  }
}

TEST(RowsTest, AddAddsElementByElement) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::vector<float> x = RandomVector(13 * 1000, 1), y = RandomVector(13 * 1000, 2);
  const Tensor sum = Make(*backend, DType::kF32, {13, 1000}, y);
  backend->Add(Make(*backend, DType::kF32, {13, 1000}, x), sum);
  const std::vector<float> out = Values(*backend, sum);
  for (size_t i = 0; i < out.size(); ++i) {
    ASSERT_EQ(out[i], y[i] + x[i]);
  }
}

TEST(MemoryTest, AllocationsAreCountedWhileTheyLive) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  EXPECT_EQ(backend->allocated_bytes(), 0);
  {
    const Tensor tensor = Make(*backend, DType::kF32, {100, 10});
    const Tensor view = tensor.Rows(3, 4);
    EXPECT_EQ(backend->allocated_bytes(), 4000);
  }
  EXPECT_EQ(backend->allocated_bytes(), 0);
}

TEST(MemoryTest, ImpossibleAllocationsAreErrors) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  EXPECT_EQ(backend->Allocate(DType::kF32, {-1, 4}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->Allocate(DType::kF32, {int64_t{1} << 40, int64_t{1} << 40}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->Allocate(DType::kF32, {int64_t{1} << 46}).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(backend->Allocate(DType::kF32, {0, 4}).ok());
}

TEST(MemoryTest, TensorsOutliveTheBackend) {
  std::unique_ptr<Backend> backend = CreateCpuBackend();
  Tensor tensor = Make(*backend, DType::kF32, {10});
  backend.reset();
  tensor = Tensor();
}

TEST(EventTest, WorkIsDoneWhenItIsRecorded) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::unique_ptr<Event> event = backend->Record();
  EXPECT_TRUE(event->Done());
  EXPECT_TRUE(event->Wait().ok());
}

}  // namespace
}  // namespace tandem::compute::cpu
