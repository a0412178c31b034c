#include "transport/stage_codec.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "transport/proto_convert.h"

namespace tandem::transport {
namespace {

using compute::DType;

constexpr std::pair<DType, stage_proto::KvDType> kKvDTypes[] = {{DType::kF32, stage_proto::KV_DTYPE_F32},
                                                                {DType::kBF16, stage_proto::KV_DTYPE_BF16},
                                                                {DType::kI8, stage_proto::KV_DTYPE_I8},
                                                                {DType::kF8E4M3, stage_proto::KV_DTYPE_F8_E4M3}};

void Encode(const StageMicroBatch& micro_batch, stage_proto::MicroBatch* out) {
  out->set_direction(micro_batch.direction);
  out->set_num_rows(micro_batch.num_rows);
  out->set_follows(micro_batch.follows);
  out->mutable_wanted()->Add(micro_batch.wanted.begin(), micro_batch.wanted.end());
  out->mutable_ids()->Add(micro_batch.ids.begin(), micro_batch.ids.end());
  for (const compute::SequenceRows& sequence : micro_batch.sequences) {
    stage_proto::SequenceRows* rows = out->add_sequences();
    rows->set_num_rows(sequence.num_rows);
    rows->set_position(sequence.position);
    rows->mutable_blocks()->Add(sequence.block_table.begin(), sequence.block_table.end());
  }
}

void Encode(const StageStep& step, stage_proto::StageMessage& out) {
  stage_proto::Step* message = out.mutable_step();
  message->set_step(step.step);
  for (const compute::BlockCopy& copy : step.copies) {
    message->add_copy_from(copy.from);
    message->add_copy_to(copy.to);
  }
  for (const StageMicroBatch& micro_batch : step.micro_batches) {
    Encode(micro_batch, message->add_micro_batches());
  }
}

void Encode(const StageRows& rows, stage_proto::StageMessage& out) {
  stage_proto::Rows* message = out.mutable_rows();
  message->set_step(rows.step);
  message->set_micro_batch(rows.micro_batch);
  message->set_result(rows.result);
  message->set_rows(reinterpret_cast<const char*>(rows.rows.data()), rows.rows.size());
}

void Encode(const StageFailure& failure, stage_proto::StageMessage& out) {
  stage_proto::Failure* message = out.mutable_failure();
  message->set_step(failure.step);
  message->set_code(static_cast<int32_t>(failure.error.code()));
  message->set_message(std::string(failure.error.message()));
}

void Encode(const StageReport& report, stage_proto::StageMessage& out) {
  stage_proto::Report* message = out.mutable_report();
  message->set_step(report.step);
  message->set_stage(report.stage);
  message->set_busy_us(absl::ToInt64Microseconds(report.busy));
  message->set_expert_wait_us(absl::ToInt64Microseconds(report.experts));
  message->set_stage_wait_us(absl::ToInt64Microseconds(report.stages));
}

StageMicroBatch Decode(const stage_proto::MicroBatch& message) {
  StageMicroBatch micro_batch;
  micro_batch.direction = message.direction();
  micro_batch.num_rows = message.num_rows();
  micro_batch.follows = message.follows();
  micro_batch.wanted.assign(message.wanted().begin(), message.wanted().end());
  micro_batch.ids.assign(message.ids().begin(), message.ids().end());
  int64_t row = 0;
  for (const stage_proto::SequenceRows& rows : message.sequences()) {
    micro_batch.sequences.push_back({.first_row = static_cast<int32_t>(row),
                                     .num_rows = rows.num_rows(),
                                     .position = rows.position(),
                                     .block_table = {rows.blocks().begin(), rows.blocks().end()}});
    // Numbers that make no sense are left to ValidateStep; they must not overflow before.
    row = std::clamp<int64_t>(row + rows.num_rows(), 0, message.num_rows());
  }
  return micro_batch;
}

absl::StatusOr<StageStep> Decode(const stage_proto::Step& message) {
  if (message.copy_from_size() != message.copy_to_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("step: ", message.copy_from_size(), " blocks to copy to ", message.copy_to_size()));
  }
  StageStep step = {.step = message.step()};
  for (int i = 0; i < message.copy_from_size(); ++i) {
    step.copies.push_back({.from = message.copy_from(i), .to = message.copy_to(i)});
  }
  for (const stage_proto::MicroBatch& micro_batch : message.micro_batches()) {
    step.micro_batches.push_back(Decode(micro_batch));
  }
  return step;
}

StageRows Decode(stage_proto::Rows& message) {
  const auto bytes = std::make_shared<const std::string>(std::move(*message.mutable_rows()));
  return {.step = message.step(),
          .micro_batch = message.micro_batch(),
          .result = message.result(),
          .rows = FrameBuffer(reinterpret_cast<const std::byte*>(bytes->data()), bytes->size(), bytes)};
}

}  // namespace

stage_proto::StageMessage EncodeStageMessage(const StageMessage& message) {
  stage_proto::StageMessage out;
  std::visit([&out](const auto& kind) { Encode(kind, out); }, message);
  return out;
}

absl::StatusOr<StageMessage> DecodeStageMessage(stage_proto::StageMessage& message) {
  switch (message.message_case()) {
    case stage_proto::StageMessage::kStep: {
      ASSIGN_OR_RETURN(StageStep step, Decode(message.step()));
      return StageMessage(std::move(step));
    }
    case stage_proto::StageMessage::kRows:
      return StageMessage(Decode(*message.mutable_rows()));
    case stage_proto::StageMessage::kFailure:
      return StageMessage(StageFailure{message.failure().step(),
                                       StatusFromWire(message.failure().code(), message.failure().message())});
    case stage_proto::StageMessage::kReport:
      return StageMessage(StageReport{.step = message.report().step(),
                                      .stage = message.report().stage(),
                                      .busy = absl::Microseconds(message.report().busy_us()),
                                      .experts = absl::Microseconds(message.report().expert_wait_us()),
                                      .stages = absl::Microseconds(message.report().stage_wait_us())});
    default:
      return absl::InvalidArgumentError("a stage message of an unknown kind");
  }
}

stage_proto::HandshakeRequest EncodeTerms(const StageTerms& terms) {
  stage_proto::HandshakeRequest request;
  request.set_protocol_version(kStageProtocolVersion);
  ToProto(terms.model, request.mutable_identity());
  request.set_stage(terms.stage);
  request.set_num_stages(terms.num_stages);
  request.set_policy(terms.dualpipe ? stage_proto::STAGE_POLICY_DUALPIPE : stage_proto::STAGE_POLICY_ONE_WAY);
  for (const LayerRange& range : terms.layers) {
    stage_proto::LayerRange* layers = request.add_layers();
    layers->set_begin(range.begin);
    layers->set_end(range.end);
  }
  for (const auto& [dtype, value] : kKvDTypes) {
    if (dtype == terms.kv_cache_dtype) {
      request.set_kv_cache_dtype(value);
    }
  }
  request.set_kv_block_size(terms.kv_block_size);
  request.set_max_batch_tokens(terms.max_batch_tokens);
  request.set_max_model_len(terms.max_model_len);
  return request;
}

absl::StatusOr<StageTerms> DecodeTerms(const stage_proto::HandshakeRequest& request) {
  StageTerms terms;
  ASSIGN_OR_RETURN(terms.model, FromProto(request.identity()));
  terms.stage = request.stage();
  terms.num_stages = request.num_stages();
  if (request.policy() != stage_proto::STAGE_POLICY_ONE_WAY && request.policy() != stage_proto::STAGE_POLICY_DUALPIPE) {
    return absl::InvalidArgumentError(absl::StrCat("unknown stage policy ", static_cast<int>(request.policy())));
  }
  terms.dualpipe = request.policy() == stage_proto::STAGE_POLICY_DUALPIPE;
  for (const stage_proto::LayerRange& range : request.layers()) {
    terms.layers.push_back({.begin = range.begin(), .end = range.end()});
  }
  bool known = false;
  for (const auto& [dtype, value] : kKvDTypes) {
    if (value == request.kv_cache_dtype()) {
      terms.kv_cache_dtype = dtype;
      known = true;
    }
  }
  if (!known) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown KV cache dtype ", static_cast<int>(request.kv_cache_dtype())));
  }
  terms.kv_block_size = request.kv_block_size();
  terms.max_batch_tokens = request.max_batch_tokens();
  terms.max_model_len = request.max_model_len();
  return terms;
}

}  // namespace tandem::transport
