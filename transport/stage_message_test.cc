#include "transport/stage_message.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "transport/stage_codec.h"

namespace tandem::transport {
namespace {

constexpr StageLimits kLimits = {.num_directions = 2,
                                 .num_kv_blocks = 10,
                                 .kv_block_size = 32,
                                 .max_batch_tokens = 64,
                                 .max_model_len = 100,
                                 .vocab_size = 50};

StageStep ValidStep() {
  StageStep step = {.step = 3};
  step.copies = {{.from = 1, .to = 2}};
  StageMicroBatch first = {.direction = 0, .num_rows = 3};
  first.sequences = {{.first_row = 0, .num_rows = 2, .position = 31, .block_table = {4, 9}},
                     {.first_row = 2, .num_rows = 1, .position = 0, .block_table = {0}}};
  first.wanted = {1, 2};
  StageMicroBatch second = {.direction = 1, .num_rows = 1};
  second.sequences = {{.first_row = 0, .num_rows = 1, .position = 5, .block_table = {3}}};
  second.ids = {49};
  StageMicroBatch third = second;
  third.follows = true;
  step.micro_batches = {first, second, third};
  return step;
}

TEST(ValidateStep, TakesAStepThatFits) { EXPECT_TRUE(ValidateStep(ValidStep(), kLimits).ok()); }

TEST(ValidateStep, RefusesWhatWouldReachOutsideOfTheCacheOrTheModel) {
  const std::function<void(StageStep&)> breaks[] = {
      [](StageStep& s) { s.copies[0].to = 10; },
      [](StageStep& s) { s.copies[0].from = -1; },
      [](StageStep& s) { s.micro_batches[0].direction = 2; },
      [](StageStep& s) { s.micro_batches[0].follows = true; },
      [](StageStep& s) { s.micro_batches[1].follows = true; },
      [](StageStep& s) { s.micro_batches[0].sequences[0].block_table[1] = 10; },
      [](StageStep& s) { s.micro_batches[0].sequences[0].block_table.pop_back(); },
      [](StageStep& s) { s.micro_batches[0].sequences[0].position = -1; },
      [](StageStep& s) { s.micro_batches[0].sequences[0].num_rows = 0; },
      [](StageStep& s) { s.micro_batches[0].sequences[1].first_row = 1; },
      [](StageStep& s) {
        s.micro_batches[0].sequences[0].position = 99;
        s.micro_batches[0].sequences[0].block_table = {1, 2, 3, 4};
      },
      [](StageStep& s) { s.micro_batches[0].num_rows = 4; },
      [](StageStep& s) { s.micro_batches[0].sequences.clear(); },
      [](StageStep& s) {
        s.micro_batches[0].wanted = {2, 1};
      },
      [](StageStep& s) { s.micro_batches[0].wanted = {3}; },
      [](StageStep& s) { s.micro_batches[1].ids = {50}; },
      [](StageStep& s) {
        s.micro_batches[1].ids = {1, 2};
      },
      [](StageStep& s) { s.micro_batches.resize(9, s.micro_batches[1]); },
      [](StageStep& s) {
        s.micro_batches[0].num_rows = 65;
        s.micro_batches[0].sequences = {{.first_row = 0, .num_rows = 65, .position = 0, .block_table = {1, 2, 3}}};
      },
  };
  int index = 0;
  for (const auto& breaking : breaks) {
    StageStep step = ValidStep();
    breaking(step);
    EXPECT_TRUE(absl::IsInvalidArgument(ValidateStep(step, kLimits))) << "case " << index;
    ++index;
  }
}

TEST(StageCodec, AStepSurvivesTheJourney) {
  const StageStep step = ValidStep();
  stage_proto::StageMessage encoded = EncodeStageMessage(step);
  stage_proto::StageMessage received;
  ASSERT_TRUE(received.ParseFromString(encoded.SerializeAsString()));
  const auto decoded = DecodeStageMessage(received);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const auto& got = std::get<StageStep>(*decoded);
  EXPECT_TRUE(ValidateStep(got, kLimits).ok());
  EXPECT_EQ(EncodeStageMessage(got).SerializeAsString(), encoded.SerializeAsString());
  EXPECT_EQ(got.micro_batches[0].sequences[1].first_row, 2);
}

TEST(StageCodec, RefusesWhatItDoesNotKnow) {
  stage_proto::StageMessage empty;
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeStageMessage(empty).status()));
  stage_proto::StageMessage uneven;
  uneven.mutable_step()->add_copy_from(1);
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeStageMessage(uneven).status()));
}

TEST(StageCodec, RowCountsThatMakeNoSenseAreRefusedAndDoNotOverflow) {
  stage_proto::StageMessage message;
  stage_proto::MicroBatch* micro_batch = message.mutable_step()->add_micro_batches();
  micro_batch->set_num_rows(3);
  for (const int rows : {INT32_MAX, INT32_MAX, -7}) {
    stage_proto::SequenceRows* sequence = micro_batch->add_sequences();
    sequence->set_num_rows(rows);
    sequence->add_blocks(1);
  }
  const auto decoded = DecodeStageMessage(message);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ValidateStep(std::get<StageStep>(*decoded), kLimits)));
}

}  // namespace
}  // namespace tandem::transport
