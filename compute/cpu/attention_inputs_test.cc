#include <cmath>

#include "compute/cpu/test_util.h"

namespace tandem::compute::cpu {
namespace {

constexpr int kPositions = 40;

std::vector<float> RopeTable(int rotary_dim) {
  std::vector<float> table;
  for (int p = 0; p < kPositions; ++p) {
    for (int part = 0; part < 2; ++part) {
      for (int i = 0; i < rotary_dim / 2; ++i) {
        const double angle = p * std::pow(100.0, -2.0 * i / rotary_dim);
        table.push_back(static_cast<float>(part == 0 ? std::cos(angle) : std::sin(angle)));
      }
    }
  }
  return table;
}

// A rotation of complex numbers, which is what rotary embedding is.
void ReferenceRotate(std::vector<double>& x, size_t offset, int rotary_dim, bool interleaved, int position) {
  for (int i = 0; i < rotary_dim / 2; ++i) {
    const double angle = position * std::pow(100.0, -2.0 * i / rotary_dim);
    double& re = x[offset + static_cast<size_t>(interleaved ? 2 * i : i)];
    double& im = x[offset + static_cast<size_t>(interleaved ? 2 * i + 1 : i + rotary_dim / 2)];
    const double r = re * std::cos(angle) - im * std::sin(angle);
    im = im * std::cos(angle) + re * std::sin(angle);
    re = r;
  }
}

void ReferenceNorm(std::vector<double>& x, size_t offset, size_t width, const std::vector<float>& weight) {
  double sum = 0;
  for (size_t i = 0; i < width; ++i) {
    sum += x[offset + i] * x[offset + i];
  }
  for (size_t i = 0; i < width; ++i) {
    x[offset + i] = x[offset + i] / std::sqrt(sum / static_cast<double>(width) + 1e-5) * weight[i];
  }
}

struct GqaCase {
  QkNorm norm;
  int rotary_dim;
  bool interleaved;
  float clip;
  DType cache_dtype;
};

class PrepareGqaTest : public testing::TestWithParam<GqaCase> {
 protected:
  static constexpr int kHeads = 4, kKvHeads = 2, kDim = 24, kBlock = 8;
  static constexpr int kWidth = (kHeads + 2 * kKvHeads) * kDim;

  GqaArgs Args(Backend& backend) const {
    const GqaCase c = GetParam();
    GqaArgs args;
    args.num_heads = kHeads;
    args.num_kv_heads = kKvHeads;
    args.head_dim = kDim;
    args.qk_norm = c.norm;
    args.norm_eps = 1e-5f;
    args.clip_qkv = c.clip;
    if (c.norm != QkNorm::kNone) {
      args.q_norm = Make(backend, DType::kF32, {QNormWidth()}, RandomVector(QNormWidth(), 11));
      args.k_norm = Make(backend, DType::kF32, {KNormWidth()}, RandomVector(KNormWidth(), 12));
    }
    args.rope.rotary_dim = c.rotary_dim;
    args.rope.interleaved = c.interleaved;
    if (c.rotary_dim > 0) {
      args.rope.cos_sin = Make(backend, DType::kF32, {kPositions, c.rotary_dim}, RopeTable(c.rotary_dim));
    }
    return args;
  }
  static int64_t QNormWidth() { return GetParam().norm == QkNorm::kPerHead ? kDim : kHeads * kDim; }
  static int64_t KNormWidth() { return GetParam().norm == QkNorm::kPerHead ? kDim : kKvHeads * kDim; }

  // Rows 0-4 are positions 6-10 of one sequence, row 5 is position 0 of another.
  static std::vector<SequenceRows> Sequences() { return {{0, 5, 6, {3, 1}}, {5, 1, 0, {0}}}; }
  static int Position(int row) { return row < 5 ? 6 + row : 0; }
  static int CacheRow(int row, int head) {
    const int block = row < 2 ? 3 : row < 5 ? 1 : 0, offset = row < 2 ? 6 + row : row < 5 ? row - 2 : 0;
    return (block * kKvHeads + head) * kBlock + offset;
  }
  // What storing a head may change an element by: half a step of the dtype at the head's largest magnitude.
  static double Rounding(DType dtype, const double* head) {
    double largest = 0;
    for (int i = 0; i < kDim; ++i) {
      largest = std::max(largest, std::abs(head[i]));
    }
    const double half_step = dtype == DType::kBF16     ? 0x1p-8
                             : dtype == DType::kI8     ? 0.5 / 127
                             : dtype == DType::kF8E4M3 ? 0x1p-4
                                                       : 0;
    return half_step * largest + 3e-6;
  }

  std::vector<double> ReferenceRow(const float* qkv, int row) const {
    const GqaCase c = GetParam();
    std::vector<double> x(qkv, qkv + kWidth);
    const auto heads = [&](size_t offset, int count, const std::vector<float>& weight) {
      const size_t width = c.norm == QkNorm::kPerHead ? kDim : static_cast<size_t>(count) * kDim;
      for (size_t o = 0; c.norm != QkNorm::kNone && o < static_cast<size_t>(count) * kDim; o += width) {
        ReferenceNorm(x, offset + o, width, weight);
      }
    };
    heads(0, kHeads, RandomVector(QNormWidth(), 11));
    heads(kHeads * kDim, kKvHeads, RandomVector(KNormWidth(), 12));
    for (double& v : x) {
      v = c.clip > 0 ? std::clamp<double>(v, -c.clip, c.clip) : v;
    }
    for (int h = 0; h < kHeads + kKvHeads; ++h) {
      ReferenceRotate(x, static_cast<size_t>(h) * kDim, c.rotary_dim, c.interleaved, Position(row));
    }
    return x;
  }
};

TEST_P(PrepareGqaTest, AgreesWithDoublePrecision) {
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::vector<float> qkv = RandomVector(6 * kWidth, 1);
  const DType dtype = GetParam().cache_dtype;
  const KvCacheLayer cache = MakeCache(*backend, {kKvHeads, kDim, kDim}, dtype, 5, kBlock);
  const Tensor q = Make(*backend, DType::kF32, {6, kHeads, kDim});
  const auto batch = backend->PrepareBatch(Sequences(), kBlock);
  backend->PrepareGqa(Args(*backend), Make(*backend, DType::kF32, {6, kWidth}, qkv), *batch, cache, q);
  const std::vector<float> q_out = Values(*backend, q);
  const std::vector<double> keys = CachedKeys(*backend, cache, kDim), values = CachedValues(*backend, cache);
  for (int row = 0; row < 6; ++row) {
    const std::vector<double> expected = ReferenceRow(qkv.data() + row * kWidth, row);
    for (int i = 0; i < kHeads * kDim; ++i) {
      ASSERT_NEAR(q_out[static_cast<size_t>(row * kHeads * kDim + i)], expected[static_cast<size_t>(i)], 3e-6);
    }
    for (int h = 0; h < kKvHeads; ++h) {
      const auto at = static_cast<size_t>(CacheRow(row, h) * kDim);
      const double* key = &expected[static_cast<size_t>((kHeads + h) * kDim)];
      const double* value = &expected[static_cast<size_t>((kHeads + kKvHeads + h) * kDim)];
      const double key_error = Rounding(dtype, key), value_error = Rounding(dtype, value);
      for (size_t i = 0; i < kDim; ++i) {
        ASSERT_NEAR(keys[at + i], key[i], key_error);
        ASSERT_NEAR(values[at + i], value[i], value_error);
      }
    }
  }
  int untouched = 0;
  for (double key : keys) {
    untouched += key == 0 ? 1 : 0;
  }
  EXPECT_GE(untouched, (5 * kBlock - 6) * kKvHeads * kDim);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PrepareGqaTest,
                         testing::Values(GqaCase{QkNorm::kNone, 24, false, 0, DType::kF32},
                                         GqaCase{QkNorm::kPerHead, 12, false, 0, DType::kBF16},
                                         GqaCase{QkNorm::kFullWidth, 24, false, 0.5f, DType::kF32},
                                         GqaCase{QkNorm::kNone, 0, false, 0.25f, DType::kF32},
                                         GqaCase{QkNorm::kPerHead, 24, true, 0, DType::kF32},
                                         GqaCase{QkNorm::kPerHead, 24, false, 0, DType::kI8},
                                         GqaCase{QkNorm::kNone, 24, true, 0.5f, DType::kF8E4M3}));

TEST(PrepareMlaTest, NormsTheLatentRotatesTheKeyAndAbsorbsTheQuery) {
  constexpr int kHeads = 3, kLora = 40, kNope = 12, kRope = 8;
  const std::unique_ptr<Backend> backend = CreateCpuBackend();
  const std::vector<float> q = RandomVector(2 * kHeads * (kNope + kRope), 1);
  const std::vector<float> kv = RandomVector(2 * (kLora + kRope), 2);
  const std::vector<float> w = RandomVector(kHeads * kLora * kNope, 3);
  const std::vector<float> norm = RandomVector(kLora, 4);
  MlaArgs args;
  args.num_heads = kHeads;
  args.kv_lora_rank = kLora;
  args.qk_nope_head_dim = kNope;
  args.qk_rope_head_dim = kRope;
  args.kv_norm = Make(*backend, DType::kF32, {kLora}, norm);
  args.norm_eps = 1e-5f;
  args.w_uk = *backend->PackMatrix(DType::kF32, kHeads, kLora, kNope, RowsOf(w, kNope));
  args.rope = {Make(*backend, DType::kF32, {kPositions, kRope}, RopeTable(kRope)), kRope, true};
  const KvCacheLayer cache = MakeCache(*backend, {1, kLora + kRope, kLora, true}, DType::kF32, 2, 16);
  const SequenceRows rows{0, 2, 20, {0, 1}};
  const auto batch = backend->PrepareBatch({&rows, 1}, 16);
  const Tensor q_out = Make(*backend, DType::kF32, {2, kHeads, kLora + kRope});
  backend->PrepareMla(args, Make(*backend, DType::kF32, {2, kHeads * (kNope + kRope)}, q),
                      Make(*backend, DType::kF32, {2, kLora + kRope}, kv), *batch, cache, q_out);
  const std::vector<float> absorbed = Values(*backend, q_out), keys = Values(*backend, cache.keys);
  for (int row = 0; row < 2; ++row) {
    std::vector<double> key(kv.begin() + row * (kLora + kRope), kv.begin() + (row + 1) * (kLora + kRope));
    ReferenceNorm(key, 0, kLora, norm);
    ReferenceRotate(key, kLora, kRope, true, 20 + row);
    for (size_t i = 0; i < kLora + kRope; ++i) {
      ASSERT_NEAR(keys[static_cast<size_t>(20 + row) * (kLora + kRope) + i], key[i], 3e-6);
    }
    for (int h = 0; h < kHeads; ++h) {
      const float* from = q.data() + (row * kHeads + h) * (kNope + kRope);
      const float* to = absorbed.data() + (row * kHeads + h) * (kLora + kRope);
      for (int j = 0; j < kLora; ++j) {
        double sum = 0;
        for (int k = 0; k < kNope; ++k) {
          sum += double{from[k]} * w[static_cast<size_t>((h * kLora + j) * kNope + k)];
        }
        ASSERT_NEAR(to[j], sum, 3e-6);
      }
      std::vector<double> rotated(from + kNope, from + kNope + kRope);
      ReferenceRotate(rotated, 0, kRope, true, 20 + row);
      for (size_t i = 0; i < kRope; ++i) {
        ASSERT_NEAR(to[kLora + i], rotated[i], 3e-6);
      }
    }
  }
}

}  // namespace
}  // namespace tandem::compute::cpu
