#include "expert_worker/frame_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compute/wire_rows.h"
#include "expert_worker/testing/random_experts.h"

namespace tandem::expert_worker {
namespace {

using compute::DType;
using ::testing::HasSubstr;
using transport::CombineFrame;
using transport::DispatchFrame;

class FrameRunnerTest : public ::testing::TestWithParam<DType> {
 protected:
  FrameRunnerTest() { EXPECT_EQ(store_.Load(AllTestExperts()), absl::OkStatus()); }

  std::vector<absl::StatusOr<CombineFrame>> Run(const std::vector<DispatchFrame>& frames) {
    std::vector<const DispatchFrame*> pointers;
    for (const DispatchFrame& frame : frames) {
      pointers.push_back(&frame);
    }
    return runner_.Run(pointers);
  }

  DispatchFrame Frame(uint64_t seed, int layer, int num_rows) { return RandomFrame(seed, layer, num_rows, GetParam()); }

  std::unique_ptr<compute::Backend> backend_ = TestBackend(2);
  ExpertStore store_{TestLoader(*backend_, DType::kF32)};
  ExpertProbe probe_{kTestLayers, kTestExperts};
  FrameRunner runner_{*backend_, store_, GetParam(), probe_};
};

float Element(const transport::FrameBuffer& buffer, DType dtype, size_t i) {
  if (dtype == DType::kF32) {
    return reinterpret_cast<const float*>(buffer.data())[i];
  }
  return compute::BF16ToF32(reinterpret_cast<const uint16_t*>(buffer.data())[i]);
}

// Element i of row `row` of a frame.
float RowElement(const DispatchFrame& frame, int row, int i) {
  const std::byte* const bytes = frame.rows.data() + row * compute::DispatchRowBytes(frame.dtype, kTestHidden);
  if (frame.dtype == DType::kF8E4M3) {
    float scale;
    std::memcpy(&scale, bytes + kTestHidden, sizeof(scale));
    return compute::F8E4M3ToF32(static_cast<uint8_t>(bytes[i])) * scale;
  }
  return Element(frame.rows, frame.dtype, static_cast<size_t>(row * kTestHidden + i));
}

TEST_P(FrameRunnerTest, ComputesEachPairsExpert) {
  const DispatchFrame frame = Frame(1, 2, 7);
  const auto result = Run({frame})[0];
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->outputs.size(), transport::OutputBytes(frame));
  // Rounding to the wire's dtype is half a unit in its last place; float32 sums of 40 terms add a little.
  const double tolerance = GetParam() == DType::kF32 ? 1e-5 : 1.0 / 256;
  for (size_t pair = 0; pair < frame.pairs.size(); ++pair) {
    std::vector<float> row(kTestHidden);
    for (int i = 0; i < kTestHidden; ++i) {
      row[i] = RowElement(frame, frame.pairs[pair].row, i);
    }
    const std::vector<double> expected = ReferenceMlp(frame.layer, frame.pairs[pair].expert, row.data());
    for (int i = 0; i < kTestHidden; ++i) {
      const double actual = Element(result->outputs, compute::CombineDType(GetParam()), pair * kTestHidden + i);
      EXPECT_NEAR(actual, expected[i], tolerance * (1 + std::abs(expected[i]))) << "pair " << pair << ", element " << i;
    }
  }
}

TEST_P(FrameRunnerTest, GroupingChangesNoBit) {
  for (uint64_t seed = 100; seed < 120; ++seed) {
    SCOPED_TRACE(seed);
    const int layer = static_cast<int>(seed) % kTestLayers;
    std::vector<DispatchFrame> frames;
    for (uint64_t i = 0; i < 1 + seed % 4; ++i) {
      frames.push_back(Frame(seed * 10 + i, layer, static_cast<int>((seed + i) * 5 % 17)));
    }
    const auto together = Run(frames);
    ASSERT_EQ(together.size(), frames.size());
    for (size_t i = 0; i < frames.size(); ++i) {
      const auto alone = Run({frames[i]})[0];
      ASSERT_TRUE(together[i].ok() && alone.ok());
      ASSERT_EQ(together[i]->outputs.size(), transport::OutputBytes(frames[i]));
      EXPECT_TRUE(together[i]->outputs.bytes() == alone->outputs.bytes()) << "frame " << i;
    }
  }
}

TEST_P(FrameRunnerTest, AFrameThatCannotBeComputedSpoilsNoOther) {
  store_.Unload({{0, 3}});
  DispatchFrame good = Frame(5, 0, 4);
  std::erase_if(good.pairs, [](const transport::ExpertPair& pair) { return pair.expert == 3; });
  DispatchFrame missing = Frame(6, 0, 4);
  missing.pairs = {{.row = 0, .expert = 2}, {.row = 1, .expert = 3}};
  DispatchFrame other_dtype = RandomFrame(7, 0, 4, GetParam() == DType::kF32 ? DType::kBF16 : DType::kF32);
  DispatchFrame other_width = Frame(8, 0, 4);
  other_width.hidden_size = kTestHidden / 2;
  other_width.pairs = {{.row = 0, .expert = 0}};
  const auto results = Run({missing, other_dtype, good, other_width});
  EXPECT_EQ(results[0].status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(results[0].status().message(), HasSubstr("layer 0, expert 3"));
  EXPECT_EQ(results[1].status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(results[1].status().message(), HasSubstr("dtype"));
  EXPECT_EQ(results[3].status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(results[3].status().message(), HasSubstr("hidden_size 12, the model has 24"));
  const auto alone = Run({good})[0];
  ASSERT_TRUE(results[2].ok()) << results[2].status();
  EXPECT_TRUE(results[2]->outputs.bytes() == alone->outputs.bytes());
}

TEST_P(FrameRunnerTest, AnswersFramesWithoutPairs) {
  DispatchFrame no_pairs = Frame(9, 0, 2);
  no_pairs.pairs.clear();
  for (const auto& result : Run({Frame(0, 0, 0), no_pairs})) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->outputs.size(), 0);
  }
  EXPECT_TRUE(Run({}).empty());
}

TEST_P(FrameRunnerTest, CountsWhatItComputes) {
  DispatchFrame first = Frame(1, 1, 3);
  first.pairs = {{0, 0}, {2, 0}, {1, 4}};
  DispatchFrame second = Frame(2, 1, 2);
  second.pairs = {{1, 4}};
  Run({first, second});
  Run({first});
  EXPECT_EQ(probe_.batches(), 2);
  EXPECT_EQ(probe_.frames(), 3);
  EXPECT_EQ(probe_.rows(), 8);
  EXPECT_EQ(probe_.pairs(), 7);
  EXPECT_EQ(probe_.tokens({1, 0}), 4);
  EXPECT_EQ(probe_.tokens({1, 4}), 3);
  EXPECT_EQ(probe_.tokens({1, 1}), 0);
  EXPECT_EQ(probe_.tokens({0, 0}), 0);
  const std::vector<transport::LayerStatistics> layers = probe_.Statistics();
  ASSERT_EQ(layers.size(), 1u) << "one layer has computed something";
  EXPECT_EQ(layers[0].layer, 1);
  EXPECT_EQ(layers[0].frames, 3);
  EXPECT_EQ(layers[0].frame_experts, 2 + 1 + 2);
  EXPECT_EQ(layers[0].batches, 2);
  EXPECT_EQ(layers[0].batch_experts, 2 + 2);
  EXPECT_THAT(layers[0].expert_tokens, ::testing::ElementsAre(4, 0, 0, 0, 3));
}

INSTANTIATE_TEST_SUITE_P(WireDTypes, FrameRunnerTest,
                         ::testing::Values(DType::kF32, DType::kBF16, DType::kF8E4M3),
                         [](const auto& info) { return std::string(compute::DTypeName(info.param)); });

}  // namespace
}  // namespace tandem::expert_worker
