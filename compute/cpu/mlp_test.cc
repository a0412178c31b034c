#include <cmath>

#include "compute/cpu/test_util.h"

namespace tandem::compute::cpu {
namespace {

struct TestMlp {
  int64_t hidden, intermediate;
  std::vector<float> gate, up, down;

  TestMlp(int64_t hidden_size, int64_t intermediate_size, uint32_t seed)
      : hidden(hidden_size),
        intermediate(intermediate_size),
        gate(RandomVector(hidden * intermediate, seed)),
        up(RandomVector(hidden * intermediate, seed + 1)),
        down(RandomVector(hidden * intermediate, seed + 2)) {}

  MlpWeightsPtr Pack(Backend& backend, DType dtype) const {
    auto weights = backend.PackMlp(dtype, hidden, intermediate, RowsOf(gate, hidden), RowsOf(up, hidden),
                                   RowsOf(down, intermediate));
    TANDEM_CHECK(weights.ok(), weights.status().message());
    return *std::move(weights);
  }

  // One row in double.
  std::vector<double> Reference(DType dtype, const float* x) const {
    const std::vector<float> g = RoundedTo(dtype, gate), u = RoundedTo(dtype, up), d = RoundedTo(dtype, down);
    std::vector<double> act, out;
    for (int64_t i = 0; i < intermediate; ++i) {
      double a = 0, b = 0;
      for (int64_t k = 0; k < hidden; ++k) {
        a += double{g[static_cast<size_t>(i * hidden + k)]} * x[k];
        b += double{u[static_cast<size_t>(i * hidden + k)]} * x[k];
      }
      act.push_back(a / (1 + std::exp(-a)) * b);
    }
    for (int64_t j = 0; j < hidden; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < intermediate; ++i) {
        sum += d[static_cast<size_t>(j * intermediate + i)] * act[static_cast<size_t>(i)];
      }
      out.push_back(sum);
    }
    return out;
  }
};

TEST(MlpTest, AgreesWithDoublePrecision) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (auto [hidden, intermediate] : {std::pair{7, 5}, {64, 33}, {80, 48}}) {
      const TestMlp mlp(hidden, intermediate, 10);
      const std::unique_ptr<Backend> backend = CreateCpuBackend();
      const MlpWeightsPtr weights = mlp.Pack(*backend, dtype);
      EXPECT_EQ(weights->hidden_size(), hidden);
      EXPECT_EQ(weights->intermediate_size(), intermediate);
      const std::vector<float> x = RandomVector(15 * hidden, 3);
      const Tensor out = Make(*backend, DType::kF32, {15, hidden});
      backend->Mlp(Make(*backend, DType::kF32, {15, hidden}, x), *weights, nullptr, out);
      const std::vector<float> values = Values(*backend, out);
      for (int64_t row = 0; row < 15; ++row) {
        const std::vector<double> expected = mlp.Reference(dtype, x.data() + row * hidden);
        for (int64_t j = 0; j < hidden; ++j) {
          ASSERT_NEAR(values[static_cast<size_t>(row * hidden + j)], expected[static_cast<size_t>(j)],
                      2e-5 * intermediate);
        }
      }
    }
  }
}

TEST(MlpTest, SigmoidGateScalesTheOutputAndOutMayBeX) {
  const TestMlp mlp(48, 32, 1);
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const MlpWeightsPtr weights = mlp.Pack(*backend, DType::kF32);
  const std::vector<float> gate = RandomVector(48, 5);
  const MatrixPtr gate_matrix = *backend->PackMatrix(DType::kF32, 1, 1, 48, RowsOf(gate, 48));
  const std::vector<float> x = RandomVector(4 * 48, 6);
  const Tensor plain = Make(*backend, DType::kF32, {4, 48});
  const Tensor in_place = Make(*backend, DType::kF32, {4, 48}, x);
  backend->Mlp(in_place, *weights, nullptr, plain);
  backend->Mlp(in_place, *weights, gate_matrix.get(), in_place);
  const std::vector<float> a = Values(*backend, plain), b = Values(*backend, in_place);
  for (size_t i = 0; i < a.size(); ++i) {
    double logit = 0;
    for (size_t k = 0; k < 48; ++k) {
      logit += double{gate[k]} * x[i / 48 * 48 + k];
    }
    ASSERT_NEAR(b[i], a[i] / (1 + std::exp(-logit)), 1e-5);
  }
}

// Experts with 0, 1, 2, 14 and 30 rows; every row must equal the expert run on that row alone.
struct GroupedCase {
  DType weights, wire;
};

std::vector<float> RunGrouped(Backend& backend, const GroupedCase& c, bool one_by_one) {
  constexpr int64_t kHidden = 208;
  constexpr int kSizes[] = {14, 0, 1, 30, 2};
  std::vector<MlpWeightsPtr> experts;
  for (uint32_t e = 0; e < 5; ++e) {
    experts.push_back(TestMlp(kHidden, 136, 100 + 10 * e).Pack(backend, c.weights));
  }
  const Tensor x = MakeDispatchRows(backend, c.wire, kHidden, RandomVector(20 * kHidden, 1));
  std::vector<int32_t> pair_rows;
  std::vector<ExpertSegment> segments;
  for (size_t e = 0; e < 5; ++e) {
    const auto begin = static_cast<int32_t>(pair_rows.size());
    for (int i = 0; i < kSizes[e]; ++i) {
      pair_rows.push_back((i * 7 + static_cast<int>(e)) % 20);
    }
    segments.push_back({experts[e].get(), begin, static_cast<int32_t>(pair_rows.size())});
  }
  const auto pairs = static_cast<int64_t>(pair_rows.size());
  const Tensor out = Make(backend, CombineDType(c.wire), {pairs, kHidden});
  if (!one_by_one) {
    backend.GroupedMlp(x, pair_rows, segments, out);
    return Values(backend, out);
  }
  for (const ExpertSegment& segment : segments) {
    for (int32_t i = segment.begin; i < segment.end; ++i) {
      const ExpertSegment single{segment.weights, 0, 1};
      backend.GroupedMlp(x, {&pair_rows[static_cast<size_t>(i)], 1}, {&single, 1}, out.Rows(i, 1));
    }
  }
  return Values(backend, out);
}

class GroupedMlpTest : public testing::TestWithParam<GroupedCase> {};

TEST_P(GroupedMlpTest, RowsAloneEqualRowsTogetherEverywhere) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::vector<float> alone = RunGrouped(*backend, GetParam(), true);
  EXPECT_EQ(Bits(RunGrouped(*backend, GetParam(), false)), Bits(alone));
  ExpectSameBitsEverywhere([&](Backend& b) { return RunGrouped(b, GetParam(), false); });
}

TEST_P(GroupedMlpTest, EqualsMlpUpToTheWireDType) {
  const GroupedCase c = GetParam();
  const TestMlp mlp(64, 40, 7);
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const MlpWeightsPtr weights = mlp.Pack(*backend, c.weights);
  const Tensor x = MakeDispatchRows(*backend, c.wire, 64, RandomVector(9 * 64, 8));
  const Tensor grouped = Make(*backend, CombineDType(c.wire), {9, 64});
  const Tensor plain = Make(*backend, DType::kF32, {9, 64});
  const std::vector<int32_t> rows = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  const ExpertSegment segment{weights.get(), 0, 9};
  backend->GroupedMlp(x, rows, {&segment, 1}, grouped);
  backend->Mlp(Make(*backend, DType::kF32, {9, 64}, DispatchedValues(*backend, x, 64)), *weights, nullptr, plain);
  EXPECT_EQ(Values(*backend, grouped), RoundedTo(CombineDType(c.wire), Values(*backend, plain)));
}

INSTANTIATE_TEST_SUITE_P(DTypes, GroupedMlpTest,
                         testing::Values(GroupedCase{DType::kF32, DType::kF32}, GroupedCase{DType::kBF16, DType::kBF16},
                                         GroupedCase{DType::kBF16, DType::kF32},
                                         GroupedCase{DType::kF32, DType::kBF16},
                                         GroupedCase{DType::kBF16, DType::kF8E4M3},
                                         GroupedCase{DType::kF32, DType::kF8E4M3}));

TEST(GroupedMlpLimitsTest, NoPairsIsNoWork) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  backend->GroupedMlp(Make(*backend, DType::kF32, {3, 16}), {}, {}, Make(*backend, DType::kF32, {0, 16}));
}

}  // namespace
}  // namespace tandem::compute::cpu
