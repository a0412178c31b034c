#include <cmath>
#include <limits>
#include <numeric>

#include "compute/cpu/kv_blocks.h"
#include "compute/cpu/test_util.h"

namespace tandem::compute::cpu {
namespace {

struct AttentionCase {
  DType dtype;
  int heads, kv_heads, key_dim, value_dim, block_size, window;
  bool values_in_keys;  // MLA
};

void PrintTo(const AttentionCase& c, std::ostream* os) {
  *os << DTypeName(c.dtype) << " heads " << c.heads << "/" << c.kv_heads << " dims " << c.key_dim << "/" << c.value_dim
      << " block " << c.block_size << " window " << c.window << (c.values_in_keys ? " mla" : "");
}

// A filled cache of two sequences, whose blocks interleave, and the queries of all their positions. What no sequence
// owns is NaN.
class Scene {
 public:
  static constexpr int kLengths[] = {131, 40};

  Scene(Backend& backend, const AttentionCase& c) : backend_(backend), c_(c) {
    const int blocks = (kLengths[0] + c.block_size - 1) / c.block_size;
    for (int s = 0; s < 2; ++s) {
      for (int b = 0; b * c.block_size < kLengths[s]; ++b) {
        tables_[s].push_back(2 * (blocks - 1 - b) + s);
      }
    }
    const KvRow row{c.kv_heads, c.key_dim, c.value_dim, c.values_in_keys};
    cache_ = MakeCache(backend, row, c.dtype, 2 * blocks + 1, c.block_size);
    Fill();
    keys_ = CachedKeys(backend, cache_, c.values_in_keys ? c.value_dim : c.key_dim);
    if (!c.values_in_keys) {
      values_ = CachedValues(backend, cache_);
    }
    q_ = RandomVector(int64_t{kLengths[0] + kLengths[1]} * c.heads * c.key_dim, 3);
    for (float& v : q_) {
      v *= 3;
    }
  }

  // Attention of `rows` (sequence, first position, count), concatenated.
  struct Part {
    int sequence, position, count;
  };
  std::vector<float> Run(const std::vector<Part>& parts) {
    std::vector<SequenceRows> sequences;
    std::vector<float> q;
    for (const Part& part : parts) {
      SequenceRows rows;
      rows.first_row = static_cast<int32_t>(q.size()) / (c_.heads * c_.key_dim);
      rows.num_rows = part.count;
      rows.position = part.position;
      const int blocks = (part.position + part.count + c_.block_size - 1) / c_.block_size;
      rows.block_table.assign(tables_[part.sequence].begin(), tables_[part.sequence].begin() + blocks);
      sequences.push_back(rows);
      const float* from = Query(part.sequence, part.position);
      q.insert(q.end(), from, from + part.count * c_.heads * c_.key_dim);
    }
    const int64_t n = static_cast<int64_t>(q.size()) / (c_.heads * c_.key_dim);
    const auto batch = backend_.PrepareBatch(sequences, c_.block_size);
    const Tensor out = Make(backend_, DType::kF32, {n, c_.heads, c_.value_dim});
    AttentionArgs args;
    args.scale = 0.3f;
    args.value_dim = c_.value_dim;
    args.sliding_window = c_.window;
    backend_.PagedAttention(args, Make(backend_, DType::kF32, {n, c_.heads, c_.key_dim}, q), *batch, cache_, out);
    return Values(backend_, out);
  }

  // How far attention over this cache, which holds the exact elements, may move when they are rounded to `dtype`:
  // scores by δ = Σ |q| · (half a step of each key element) at most, hence weights by a factor within e^±2δ, and values
  // by half a step.
  double RoundingBound(DType dtype, int sequence, int position, int head) const {
    const int kv_head = head / (c_.heads / c_.kv_heads);
    double shift = 0, largest = 0, value_step = 0;
    for (int p = 0; p <= position; ++p) {
      double shift_here = 0;
      for (int d = 0; d < c_.key_dim; ++d) {
        shift_here += 0.3 * std::abs(Query(sequence, position)[head * c_.key_dim + d]) *
                      HalfStep(dtype, Key(sequence, p, kv_head, d));
      }
      shift = std::max(shift, shift_here);
      for (int d = 0; d < c_.value_dim; ++d) {
        const double value = Value(sequence, p, kv_head, d);
        largest = std::max(largest, std::abs(value));
        value_step = std::max(value_step, HalfStep(dtype, value));
      }
    }
    return (std::exp(2 * shift) - 1) * largest + value_step + 2e-5;
  }

  std::vector<float> OnePass() { return Run({{0, 0, kLengths[0]}, {1, 0, kLengths[1]}}); }

  // In double, straight from the definition.
  std::vector<double> Reference(int sequence, int position, int head) const {
    const int kv_head = head / (c_.heads / c_.kv_heads);
    const int first = c_.window > 0 ? std::max(0, position - c_.window + 1) : 0;
    std::vector<double> weights, out(static_cast<size_t>(c_.value_dim));
    double max = -1e300, sum = 0;
    for (int p = first; p <= position; ++p) {
      double dot = 0;
      for (int d = 0; d < c_.key_dim; ++d) {
        dot += double{Query(sequence, position)[head * c_.key_dim + d]} * Key(sequence, p, kv_head, d);
      }
      weights.push_back(dot * double{0.3f});
      max = std::max(max, weights.back());
    }
    for (double& w : weights) {
      w = std::exp(w - max);
      sum += w;
    }
    for (int p = first; p <= position; ++p) {
      for (int d = 0; d < c_.value_dim; ++d) {
        out[static_cast<size_t>(d)] += weights[static_cast<size_t>(p - first)] / sum * Value(sequence, p, kv_head, d);
      }
    }
    return out;
  }

 private:
  // Of rows whose elements are within ±1, so that their scale is at most 1 over the dtype's largest value.
  static double HalfStep(DType dtype, double x) {
    return dtype == DType::kI8 ? 0.5 / 127 : std::max(std::abs(x) * 0x1p-4, 0x1p-10 / 448);
  }
  void Fill() {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const int64_t key_width = int64_t{c_.kv_heads} * c_.key_dim, value_width = int64_t{c_.kv_heads} * c_.value_dim;
    const auto store = [&](int32_t block, int32_t offset, const float* key, const float* value) {
      StoreKeys(cache_, {0, block, offset}, key, c_.values_in_keys ? c_.value_dim : 0);
      if (!c_.values_in_keys) {
        StoreValues(cache_, {0, block, offset}, value);
      }
    };
    const std::vector<float> nothing(static_cast<size_t>(key_width + value_width), nan);
    for (int32_t block = 0; block < cache_.num_blocks(); ++block) {
      for (int32_t offset = 0; offset < c_.block_size; ++offset) {
        store(block, offset, nothing.data(), nothing.data());
      }
    }
    for (int s = 0; s < 2; ++s) {
      const std::vector<float> key = RandomVector(kLengths[s] * key_width, 10 + static_cast<uint32_t>(s));
      const std::vector<float> value = RandomVector(kLengths[s] * value_width, 20 + static_cast<uint32_t>(s));
      for (int p = 0; p < kLengths[s]; ++p) {
        store(tables_[s][static_cast<size_t>(p / c_.block_size)], p % c_.block_size, key.data() + p * key_width,
              value.data() + p * value_width);
      }
    }
  }
  int64_t CacheRow(int s, int p, int h) const {
    const int64_t block = tables_[s][static_cast<size_t>(p / c_.block_size)];
    return (block * c_.kv_heads + h) * c_.block_size + p % c_.block_size;
  }
  const float* Query(int s, int p) const { return q_.data() + (s * kLengths[0] + p) * c_.heads * c_.key_dim; }
  double Key(int s, int p, int h, int d) const {
    return keys_[static_cast<size_t>(CacheRow(s, p, h) * c_.key_dim + d)];
  }
  double Value(int s, int p, int h, int d) const {
    return c_.values_in_keys ? Key(s, p, h, d) : values_[static_cast<size_t>(CacheRow(s, p, h) * c_.value_dim + d)];
  }

  Backend& backend_;
  AttentionCase c_;
  std::vector<int32_t> tables_[2];
  std::vector<double> keys_, values_;  // as the cache holds them
  std::vector<float> q_;
  KvCacheLayer cache_;
};

class AttentionTest : public testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionTest, AgreesWithDoublePrecision) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  Scene scene(*backend, GetParam());
  const std::vector<float> out = scene.OnePass();
  size_t i = 0;
  for (int s = 0; s < 2; ++s) {
    for (int p = 0; p < Scene::kLengths[s]; ++p) {
      for (int h = 0; h < GetParam().heads; ++h) {
        for (double expected : scene.Reference(s, p, h)) {
          ASSERT_NEAR(out[i++], expected, 2e-5) << "sequence " << s << " position " << p << " head " << h;
        }
      }
    }
  }
}

TEST_P(AttentionTest, ChunksAndSingleTokensEqualOnePass) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  Scene scene(*backend, GetParam());
  const std::vector<float> all = scene.OnePass();
  const auto width = static_cast<std::ptrdiff_t>(GetParam().heads * GetParam().value_dim);
  const auto expected = [&](const std::vector<Scene::Part>& parts) {
    std::vector<float> rows;
    for (const Scene::Part& part : parts) {
      const auto begin = all.begin() + (part.sequence * Scene::kLengths[0] + part.position) * width;
      rows.insert(rows.end(), begin, begin + part.count * width);
    }
    return Bits(rows);
  };
  for (const std::vector<Scene::Part>& parts : {std::vector<Scene::Part>{{0, 0, 50}, {1, 7, 20}},
                                                {{1, 39, 1}, {0, 50, 81}},
                                                {{0, 33, 5}},
                                                {{1, 0, 1}, {0, 1, 1}}}) {
    ASSERT_EQ(Bits(scene.Run(parts)), expected(parts));
  }
  for (int p = 0; p < Scene::kLengths[0]; p += 3) {
    ASSERT_EQ(Bits(scene.Run({{0, p, 1}})), expected({{0, p, 1}})) << p;
  }
}

TEST_P(AttentionTest, HasTheSameBitsOnEveryInstructionSetAndThreadCount) {
  ExpectSameBitsEverywhere([&](Backend& backend) {
    Scene scene(backend, GetParam());
    return scene.Run({{0, 20, 100}, {1, 39, 1}});
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    testing::Values(
        AttentionCase{DType::kF32, 4, 4, 16, 16, 32, 0, false}, AttentionCase{DType::kF32, 6, 2, 64, 64, 16, 0, false},
        AttentionCase{DType::kBF16, 8, 2, 80, 48, 64, 0, false}, AttentionCase{DType::kF32, 5, 1, 20, 12, 7, 0, false},
        AttentionCase{DType::kBF16, 3, 3, 24, 40, 16, 0, false}, AttentionCase{DType::kF32, 4, 2, 32, 32, 16, 1, false},
        AttentionCase{DType::kF32, 4, 2, 32, 32, 16, 37, false},
        AttentionCase{DType::kBF16, 4, 1, 32, 32, 32, 64, false},
        AttentionCase{DType::kF32, 16, 1, 96, 64, 32, 0, true}, AttentionCase{DType::kBF16, 40, 1, 40, 24, 16, 0, true},
        AttentionCase{DType::kI8, 4, 4, 16, 16, 32, 0, false}, AttentionCase{DType::kI8, 8, 2, 80, 48, 7, 37, false},
        AttentionCase{DType::kI8, 5, 1, 20, 12, 16, 0, false}, AttentionCase{DType::kI8, 16, 1, 96, 64, 32, 0, true},
        AttentionCase{DType::kI8, 3, 1, 40, 24, 16, 64, true},
        AttentionCase{DType::kF8E4M3, 6, 2, 64, 64, 32, 0, false},
        AttentionCase{DType::kF8E4M3, 12, 1, 24, 40, 16, 1, false},
        AttentionCase{DType::kF8E4M3, 40, 1, 40, 24, 7, 0, true}));

class QuantizedAttentionTest : public testing::TestWithParam<AttentionCase> {};

TEST_P(QuantizedAttentionTest, StaysWithinTheStepOfTheExactCache) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  AttentionCase exact_case = GetParam();
  exact_case.dtype = DType::kF32;
  Scene quantized(*backend, GetParam()), exact(*backend, exact_case);
  const std::vector<float> out = quantized.OnePass();
  double worst = 0;
  size_t i = 0;
  for (int s = 0; s < 2; ++s) {
    for (int p = 0; p < Scene::kLengths[s]; ++p) {
      for (int h = 0; h < GetParam().heads; ++h) {
        const double bound = exact.RoundingBound(GetParam().dtype, s, p, h);
        for (double expected : exact.Reference(s, p, h)) {
          worst = std::max(worst, std::abs(out[i] - expected));
          ASSERT_NEAR(out[i++], expected, bound) << "sequence " << s << " position " << p << " head " << h;
        }
      }
    }
  }
  EXPECT_GT(worst, 1e-4) << "nothing was rounded";
}

INSTANTIATE_TEST_SUITE_P(Shapes, QuantizedAttentionTest,
                         testing::Values(AttentionCase{DType::kI8, 4, 2, 16, 16, 32, 0, false},
                                         AttentionCase{DType::kI8, 8, 1, 40, 32, 16, 0, true},
                                         AttentionCase{DType::kF8E4M3, 4, 2, 16, 16, 32, 0, false},
                                         AttentionCase{DType::kF8E4M3, 8, 1, 40, 32, 16, 0, true}));

// Position of the tallest score moves between tiles: the running maximum must rescale what was summed up.
TEST(AttentionLimitsTest, LargeScoresDoNotOverflow) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const int n = 100;
  std::vector<float> keys(n * 16, 0.0f), values(n * 16);
  for (int p = 0; p < n; ++p) {
    keys[static_cast<size_t>(p) * 16] = static_cast<float>(p * 50);
    values[static_cast<size_t>(p) * 16] = static_cast<float>(p);
  }
  std::vector<float> q(16, 0.0f);
  q[0] = 1e3f;
  const KvCacheLayer cache = MakeCache(*backend, {1, 16, 16}, DType::kF32, 1, 128);
  backend->Upload(BytesOf(absl::MakeConstSpan(keys)), cache.keys.Reshape({128, 16}).Rows(0, n));
  backend->Upload(BytesOf(absl::MakeConstSpan(values)), cache.values.Reshape({128, 16}).Rows(0, n));
  const SequenceRows rows{0, 1, n - 1, {0}};
  const auto batch = backend->PrepareBatch({&rows, 1}, 128);
  const Tensor out = Make(*backend, DType::kF32, {1, 1, 16});
  AttentionArgs args;
  args.value_dim = 16;
  backend->PagedAttention(args, Make(*backend, DType::kF32, {1, 1, 16}, q), *batch, cache, out);
  EXPECT_EQ(Values(*backend, out)[0], 99.0f);
}

}  // namespace
}  // namespace tandem::compute::cpu
