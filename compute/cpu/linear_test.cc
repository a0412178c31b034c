#include <cmath>
#include <limits>

#include "compute/cpu/test_util.h"

namespace tandem::compute::cpu {
namespace {

struct LinearCase {
  DType dtype;
  int64_t groups, rows, cols;
};

void PrintTo(const LinearCase& c, std::ostream* os) {
  *os << DTypeName(c.dtype) << " " << c.groups << "x[" << c.rows << "," << c.cols << "]";
}

// The contract, literally: one fused chain over k, then the bias.
std::vector<float> ReferenceLinear(const LinearCase& c, const std::vector<float>& x, const std::vector<float>& w,
                                   const std::vector<float>& bias, int64_t n) {
  std::vector<float> out;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < c.groups * c.rows; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < c.cols; ++k) {
        sum = std::fma(x[static_cast<size_t>((i * c.groups + j / c.rows) * c.cols + k)],
                       w[static_cast<size_t>(j * c.cols + k)], sum);
      }
      out.push_back(bias.empty() ? sum : sum + bias[static_cast<size_t>(j)]);
    }
  }
  return out;
}

std::vector<float> RunLinear(Backend& backend, const LinearCase& c, const std::vector<float>& x,
                             const std::vector<float>& w, const std::vector<float>& bias, int64_t n,
                             const std::vector<float>& add_to = {}) {
  const auto matrix = backend.PackMatrix(c.dtype, c.groups, c.rows, c.cols, RowsOf(w, c.cols));
  TANDEM_CHECK(matrix.ok(), matrix.status().message());
  const Tensor input = Make(backend, DType::kF32, {n, c.groups * c.cols}, x);
  const Tensor out = add_to.empty() ? Make(backend, DType::kF32, {n, c.groups * c.rows})
                                    : Make(backend, DType::kF32, {n, c.groups * c.rows}, add_to);
  const Tensor bias_tensor = bias.empty() ? Tensor() : Make(backend, DType::kF32, {c.groups * c.rows}, bias);
  backend.Linear(input, **matrix, bias_tensor, out, !add_to.empty());
  return Values(backend, out);
}

class LinearTest : public testing::TestWithParam<LinearCase> {};

TEST_P(LinearTest, EqualsTheFusedChainForAnyNumberOfRows) {
  const LinearCase c = GetParam();
  const std::vector<float> w = RandomVector(c.groups * c.rows * c.cols, 1);
  const std::vector<float> bias = RandomVector(c.groups * c.rows, 2);
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  for (int64_t n : {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 24, 31, 50, 70}) {
    const std::vector<float> x = RandomVector(n * c.groups * c.cols, static_cast<uint32_t>(n));
    const std::vector<float> expected = ReferenceLinear(c, x, RoundedTo(c.dtype, w), bias, n);
    ASSERT_EQ(Bits(RunLinear(*backend, c, x, w, bias, n)), Bits(expected)) << n << " rows";
  }
}

TEST_P(LinearTest, HasTheSameBitsOnEveryInstructionSetAndThreadCount) {
  const LinearCase c = GetParam();
  const std::vector<float> w = RandomVector(c.groups * c.rows * c.cols, 3);
  for (int64_t n : {1, 2, 3, 9, 29}) {
    const std::vector<float> x = RandomVector(n * c.groups * c.cols, 4);
    ExpectSameBitsEverywhere([&](Backend& backend) { return RunLinear(backend, c, x, w, {}, n); });
  }
}

TEST_P(LinearTest, AccumulatesAfterTheBias) {
  const LinearCase c = GetParam();
  const std::vector<float> w = RandomVector(c.groups * c.rows * c.cols, 5);
  const std::vector<float> bias = RandomVector(c.groups * c.rows, 6);
  const std::vector<float> x = RandomVector(5 * c.groups * c.cols, 7);
  const std::vector<float> before = RandomVector(5 * c.groups * c.rows, 8);
  std::vector<float> expected = ReferenceLinear(c, x, RoundedTo(c.dtype, w), bias, 5);
  for (size_t i = 0; i < expected.size(); ++i) {
    expected[i] = before[i] + expected[i];
  }
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  EXPECT_EQ(Bits(RunLinear(*backend, c, x, w, bias, 5, before)), Bits(expected));
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearTest,
                         testing::Values(LinearCase{DType::kF32, 1, 5, 1}, LinearCase{DType::kBF16, 1, 33, 7},
                                         LinearCase{DType::kF32, 1, 259, 80}, LinearCase{DType::kBF16, 1, 259, 257},
                                         LinearCase{DType::kBF16, 3, 33, 80}, LinearCase{DType::kF32, 4, 64, 16},
                                         LinearCase{DType::kF32, 1, 32, 64}, LinearCase{DType::kBF16, 1, 500, 480}));

TEST(LinearLimitsTest, BlocksOfRowsMatchSingleRows) {
  // Wide enough that the rows are taken in several blocks.
  const LinearCase c{DType::kBF16, 1, 33, 16384};
  const std::vector<float> w = RandomVector(c.rows * c.cols, 1);
  const std::vector<float> x = RandomVector(70 * c.cols, 2);
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::vector<float> all = RunLinear(*backend, c, x, w, {}, 70);
  for (int64_t row : {0, 47, 48, 69}) {
    const std::vector<float> one(x.begin() + row * c.cols, x.begin() + (row + 1) * c.cols);
    const std::vector<float> expected(all.begin() + row * c.rows, all.begin() + (row + 1) * c.rows);
    EXPECT_EQ(Bits(RunLinear(*backend, c, one, w, {}, 1)), Bits(expected)) << row;
  }
}

TEST(LinearLimitsTest, HugeAndNaNInputsStayInTheirRow) {
  const LinearCase c{DType::kF32, 1, 40, 24};
  const std::vector<float> w = RandomVector(c.rows * c.cols, 1);
  std::vector<float> x = RandomVector(14 * c.cols, 2);
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::vector<float> clean = RunLinear(*backend, c, x, w, {}, 14);
  x[3] = std::numeric_limits<float>::quiet_NaN();
  x[static_cast<size_t>(c.cols) * 13] = std::numeric_limits<float>::infinity();
  const std::vector<float> dirty = RunLinear(*backend, c, x, w, {}, 14);
  EXPECT_TRUE(std::isnan(dirty[0]));
  EXPECT_TRUE(std::isinf(dirty[static_cast<size_t>(13 * c.rows)]));
  for (int64_t i = c.rows; i < 13 * c.rows; ++i) {
    ASSERT_EQ(dirty[static_cast<size_t>(i)], clean[static_cast<size_t>(i)]);
  }
}

TEST(LinearLimitsTest, NoRowsIsNoWork) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::vector<float> w = RandomVector(64, 1);
  EXPECT_TRUE(RunLinear(*backend, {DType::kF32, 1, 8, 8}, {}, w, {}, 0).empty());
}

TEST(LinearLimitsTest, BadShapesAndDTypesAreRefused) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const auto reader = [](int64_t, absl::Span<float>) {};
  EXPECT_EQ(backend->PackMatrix(DType::kF16, 1, 4, 4, reader).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->PackMatrix(DType::kF32, 1, 0, 4, reader).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->PackMatrix(DType::kF32, 1, 4, -1, reader).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->PackMatrix(DType::kF32, 1 << 20, 1 << 20, 1 << 20, reader).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem::compute::cpu
