// The decoder's operations beside the layers, on golden checkpoints of both attention kinds.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "model/checkpoint.h"
#include "tests/testing/local_model.h"

namespace tandem::testing {
namespace {

std::unique_ptr<LocalModel> Load(const std::string& dir) {
  auto model = LocalModel::Load(dir, "float32", 2);
  TANDEM_CHECK(model.ok(), model.status().message());
  return *std::move(model);
}

std::vector<int32_t> Tokens(const LocalModel& model, int n) {
  std::vector<int32_t> ids(n);
  for (int i = 0; i < n; ++i) {
    ids[i] = (7 * i + 3) % static_cast<int32_t>(model.spec().vocab_size);
  }
  return ids;
}

std::vector<float> Download(const LocalModel& model, const compute::Tensor& tensor) {
  std::vector<float> values(tensor.num_elements());
  model.decoder().backend().Download(tensor, compute::WritableBytesOf(absl::MakeSpan(values)));
  return values;
}

class DecoderTest : public ::testing::TestWithParam<std::string> {};

// A sequence of 40 tokens goes on in its own blocks and in a copy of its second block, with other tokens.
TEST_P(DecoderTest, CopiedBlocksContinueASequenceIndependently) {
  const std::unique_ptr<LocalModel> model = Load(GetParam());
  const std::vector<int32_t> ids = Tokens(*model, 41);
  ASSERT_TRUE(model->Forward(absl::MakeConstSpan(ids).first(40), 0, {5, 2}).ok());
  model->decoder().CopyBlocks(model->cache(), {{{2, 7}}});
  const auto next = [&](int32_t token, const std::vector<int32_t>& blocks) {
    EXPECT_TRUE(model->Forward({&token, 1}, 40, blocks).ok());
    return *model->LogitsOf({0});
  };
  const std::vector<float> other = next(ids[40] + 1, {5, 7});
  const std::vector<float> own = next(ids[40], {5, 2});
  EXPECT_EQ(next(ids[40] + 1, {5, 7}), other);

  const std::unique_ptr<LocalModel> alone = Load(GetParam());
  const std::vector<float> all = *alone->Logits(ids, 64);
  EXPECT_EQ(own, std::vector<float>(all.end() - model->spec().vocab_size, all.end()));
  std::vector<int32_t> changed = ids;
  ++changed[40];
  const std::vector<float> all_changed = *alone->Logits(changed, 64);
  EXPECT_EQ(other, std::vector<float>(all_changed.end() - model->spec().vocab_size, all_changed.end()));
}

TEST_P(DecoderTest, HiddenIsTheNormedResidualThatLogitsSee) {
  const std::unique_ptr<LocalModel> model = Load(GetParam());
  const int64_t width = model->spec().hidden_size;
  ASSERT_TRUE(model->Forward(Tokens(*model, 20), 0, {0}).ok());
  const std::vector<float> residual = Download(*model, model->activations().h.Rows(0, 20));
  const std::vector<int32_t> rows = {19, 4, 4};
  const compute::Tensor out = *model->decoder().backend().Allocate(compute::DType::kF32, {3, width});
  model->decoder().Hidden(rows, model->activations(), out);
  const std::vector<float> hidden = Download(*model, out);

  const auto checkpoint = model::Checkpoint::Open(GetParam());
  ASSERT_TRUE(checkpoint.ok());
  const std::vector<float> norm = *checkpoint->ReadF32("model.norm.weight", {width});
  for (size_t i = 0; i < rows.size(); ++i) {
    const float* x = residual.data() + rows[i] * width;
    const double squares = std::inner_product(x, x + width, x, 0.0);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + model->spec().rms_norm_eps);
    for (int64_t k = 0; k < width; ++k) {
      ASSERT_NEAR(hidden[i * width + k], x[k] * scale * norm[k], 1e-5) << "row " << rows[i] << ", element " << k;
    }
  }
  const std::vector<float> logits = *model->LogitsOf(rows);
  const int64_t vocab = model->spec().vocab_size;
  const std::vector<float> head = *checkpoint->ReadF32("lm_head.weight", {vocab, width});
  for (size_t i = 0; i < rows.size(); ++i) {
    for (int64_t v = 0; v < vocab; ++v) {
      const double want = std::inner_product(&head[v * width], &head[(v + 1) * width], &hidden[i * width], 0.0);
      ASSERT_NEAR(logits[i * vocab + v], want, 1e-4) << "row " << rows[i] << ", token " << v;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Attention, DecoderTest,
                         ::testing::Values("tests/golden/qwen3_moe", "tests/golden/deepseek_v2"),
                         [](const auto& info) { return info.param.substr(info.param.rfind('/') + 1); });

}  // namespace
}  // namespace tandem::testing
