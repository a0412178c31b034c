#include "compute/cpu/gate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "compute/cpu/test_util.h"

namespace tandem::compute::cpu {
namespace {

struct Choice {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Choice Select(const GateArgs& args, std::vector<float> logits, const std::vector<float>& bias = {}) {
  Choice choice{std::vector<int32_t>(static_cast<size_t>(args.top_k)),
                std::vector<float>(static_cast<size_t>(args.top_k))};
  ValidateGate(args);
  SelectExperts(args, bias.empty() ? nullptr : bias.data(), logits.data(), choice.ids.data(), choice.weights.data());
  return choice;
}

// Sorts; written without regard to the kernel's way of doing it.
Choice Reference(const GateArgs& args, const std::vector<float>& logits, const std::vector<float>& bias) {
  const size_t n = logits.size();
  std::vector<double> scores(n), biased(n);
  double max = *std::max_element(logits.begin(), logits.end()), sum = 0;
  for (size_t e = 0; e < n; ++e) {
    scores[e] = args.scoring == GateScoring::kSigmoid ? 1 / (1 + std::exp(-double{logits[e]}))
                                                      : std::exp(double{logits[e]} - max);
    sum += scores[e];
  }
  for (size_t e = 0; e < n; ++e) {
    scores[e] /= args.scoring == GateScoring::kSigmoid ? 1 : sum;
    biased[e] = scores[e] + (bias.empty() ? 0 : bias[e]);
  }
  if (args.topk_groups < args.num_groups) {
    const size_t size = n / static_cast<size_t>(args.num_groups);
    std::vector<std::pair<double, size_t>> groups;
    for (size_t g = 0; g < static_cast<size_t>(args.num_groups); ++g) {
      std::vector<double> members(biased.begin() + static_cast<std::ptrdiff_t>(g * size),
                                  biased.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
      std::sort(members.rbegin(), members.rend());
      groups.emplace_back(-(args.group_score == GroupScore::kMax ? members[0] : members[0] + members[1]), g);
    }
    std::sort(groups.begin(), groups.end());
    for (size_t i = static_cast<size_t>(args.topk_groups); i < groups.size(); ++i) {
      std::fill_n(biased.begin() + static_cast<std::ptrdiff_t>(groups[i].second * size), size, -1e300);
    }
  }
  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return biased[static_cast<size_t>(a)] > biased[static_cast<size_t>(b)];
  });
  Choice choice;
  double total = 1e-20;
  for (int j = 0; j < args.top_k; ++j) {
    total += scores[static_cast<size_t>(order[static_cast<size_t>(j)])];
  }
  for (int j = 0; j < args.top_k; ++j) {
    choice.ids.push_back(order[static_cast<size_t>(j)]);
    choice.weights.push_back(
        static_cast<float>(scores[static_cast<size_t>(choice.ids.back())] / (args.normalize ? total : 1) * args.scale));
  }
  return choice;
}

GateArgs Args(GateScoring scoring, int experts, int top_k) {
  GateArgs args;
  args.scoring = scoring;
  args.num_experts = experts;
  args.top_k = top_k;
  return args;
}

TEST(GateTest, AgreesWithASortOnRandomLogits) {
  uint32_t seed = 0;
  for (GateScoring scoring : {GateScoring::kSoftmax, GateScoring::kSigmoid}) {
    for (auto [experts, top_k, groups, kept] : {std::tuple{4, 2, 1, 1},
                                                {60, 4, 1, 1},
                                                {64, 8, 8, 3},
                                                {256, 8, 8, 4},
                                                {160, 6, 8, 3},
                                                {1024, 64, 1, 1},
                                                {7, 7, 1, 1}}) {
      for (bool normalize : {false, true}) {
        for (GroupScore group_score : {GroupScore::kMax, GroupScore::kTop2Sum}) {
          GateArgs args = Args(scoring, experts, top_k);
          args.num_groups = groups;
          args.topk_groups = kept;
          args.group_score = group_score;
          args.normalize = normalize;
          args.scale = 2.5f;
          std::vector<float> logits = RandomVector(experts, ++seed);
          for (float& v : logits) {
            v *= 4;
          }
          const std::vector<float> bias = normalize ? RandomVector(experts, ++seed) : std::vector<float>();
          const Choice expected = Reference(args, logits, bias);
          const Choice choice = Select(args, logits, bias);
          ASSERT_EQ(choice.ids, expected.ids);
          for (size_t j = 0; j < choice.ids.size(); ++j) {
            ASSERT_NEAR(choice.weights[j], expected.weights[j], 1e-6 + 1e-5 * std::abs(expected.weights[j]));
          }
        }
      }
    }
  }
}

TEST(GateTest, TiesGoToTheLowerIndex) {
  EXPECT_EQ(Select(Args(GateScoring::kSoftmax, 8, 3), std::vector<float>(8, 1.0f)).ids,
            (std::vector<int32_t>{0, 1, 2}));
  GateArgs args = Args(GateScoring::kSigmoid, 8, 2);
  args.num_groups = 4;
  args.topk_groups = 1;
  args.group_score = GroupScore::kTop2Sum;
  EXPECT_EQ(Select(args, {0, 0, 1, 1, 1, 1, 0, 0}).ids, (std::vector<int32_t>{2, 3}));
}

TEST(GateTest, BiasSelectsButDoesNotWeigh) {
  const Choice choice = Select(Args(GateScoring::kSigmoid, 4, 2), {0, 1, 2, 3}, {9, 0, 0, 0});
  EXPECT_EQ(choice.ids, (std::vector<int32_t>{0, 3}));
  EXPECT_FLOAT_EQ(choice.weights[0], 0.5f);
}

TEST(GateTest, AnyInputGivesDistinctValidExperts) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (GateScoring scoring : {GateScoring::kSoftmax, GateScoring::kSigmoid}) {
    for (float value : {nan, inf, -inf, 3e38f, -3e38f}) {
      for (size_t stride : {1, 2, 5}) {
        std::vector<float> logits(12, 0.5f);
        for (size_t i = 0; i < logits.size(); i += stride) {
          logits[i] = value;
        }
        GateArgs args = Args(scoring, 12, 5);
        args.num_groups = 4;
        args.topk_groups = 2;
        const Choice choice = Select(args, logits);
        const std::set<int32_t> distinct(choice.ids.begin(), choice.ids.end());
        ASSERT_EQ(distinct.size(), 5u);
        ASSERT_TRUE(*distinct.begin() >= 0 && *distinct.rbegin() < 12);
      }
    }
  }
}

TEST(GateTest, WholeLayerHasTheSameBitsAloneTogetherAndEverywhere) {
  constexpr int64_t kHidden = 96;
  const std::vector<float> w = RandomVector(33 * kHidden, 1), x = RandomVector(70 * kHidden, 2);
  const GateArgs args = Args(GateScoring::kSoftmax, 33, 4);
  const auto run = [&](Backend& backend, int64_t first, int64_t rows) {
    const MatrixPtr matrix = *backend.PackMatrix(DType::kF32, 1, 33, kHidden, RowsOf(w, kHidden));
    const Tensor ids = Make(backend, DType::kI32, {rows, 4}), weights = Make(backend, DType::kF32, {rows, 4});
    const Tensor input = Make(backend, DType::kF32, {70, kHidden}, x).Rows(first, rows);
    backend.Gate(args, input, matrix.get(), ids, weights);
    std::vector<float> result = Values(backend, weights);
    for (int32_t id : Read<int32_t>(backend, ids)) {
      result.push_back(static_cast<float>(id));
    }
    return result;
  };
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::vector<float> all = run(*backend, 0, 70);
  for (int64_t row : {0, 13, 69}) {
    const std::vector<float> one = run(*backend, row, 1);
    for (size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(one[j], all[static_cast<size_t>(row) * 4 + j]);
      EXPECT_EQ(one[4 + j], all[70 * 4 + static_cast<size_t>(row) * 4 + j]);
    }
  }
  ExpectSameBitsEverywhere([&](Backend& b) { return run(b, 0, 70); });
}

TEST(GateTest, AlwaysSendsEveryRowToTheFirstExperts) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const Tensor ids = Make(*backend, DType::kI32, {3, 2}), weights = Make(*backend, DType::kF32, {3, 2});
  backend->Gate(Args(GateScoring::kAlways, 2, 2), Make(*backend, DType::kF32, {3, 8}), nullptr, ids, weights);
  EXPECT_EQ(Read<int32_t>(*backend, ids), (std::vector<int32_t>{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(Values(*backend, weights), std::vector<float>(6, 1.0f));
}

}  // namespace
}  // namespace tandem::compute::cpu
