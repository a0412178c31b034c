#include "transport/proto_convert.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::transport {

proto::DType ToProto(compute::DType dtype) {
  switch (dtype) {
    case compute::DType::kF32:
      return proto::DTYPE_F32;
    case compute::DType::kBF16:
      return proto::DTYPE_BF16;
    case compute::DType::kF16:
      return proto::DTYPE_F16;
    case compute::DType::kF8E4M3:
      return proto::DTYPE_F8_E4M3;
    default:  // index types are not sent
      return proto::DTYPE_UNSPECIFIED;
  }
}

absl::StatusOr<compute::DType> FromProto(proto::DType dtype) {
  switch (dtype) {
    case proto::DTYPE_F32:
      return compute::DType::kF32;
    case proto::DTYPE_BF16:
      return compute::DType::kBF16;
    case proto::DTYPE_F16:
      return compute::DType::kF16;
    case proto::DTYPE_F8_E4M3:
      return compute::DType::kF8E4M3;
    default:
      return absl::InvalidArgumentError(absl::StrCat("unknown dtype ", static_cast<int>(dtype)));
  }
}

void ToProto(const ModelIdentity& identity, proto::ModelIdentity* out) {
  out->set_checkpoint_digest(identity.checkpoint_digest);
  out->set_architecture(identity.architecture);
  out->set_weight_dtype(ToProto(identity.weight_dtype));
  out->set_wire_dtype(ToProto(identity.wire_dtype));
}

absl::StatusOr<ModelIdentity> FromProto(const proto::ModelIdentity& identity) {
  ModelIdentity out;
  out.checkpoint_digest = std::string(identity.checkpoint_digest());
  out.architecture = std::string(identity.architecture());
  ASSIGN_OR_RETURN(out.weight_dtype, FromProto(identity.weight_dtype()));
  ASSIGN_OR_RETURN(out.wire_dtype, FromProto(identity.wire_dtype()));
  return out;
}

void ToProto(const WorkerInfo& info, proto::WorkerInfo* out) {
  out->set_worker_id(info.worker_id);
  ToProto(info.identity, out->mutable_identity());
  out->set_weights_bytes(info.weights_bytes);
  out->set_memory_bytes(info.memory_bytes);
  out->set_experts_loaded(info.experts_loaded);
  out->set_draining(info.draining);
}

void ToProto(const LayerStatistics& layer, proto::LayerStatistics* out) {
  out->set_layer(layer.layer);
  out->set_frames(layer.frames);
  out->set_frame_experts(layer.frame_experts);
  out->set_batches(layer.batches);
  out->set_batch_experts(layer.batch_experts);
  out->mutable_expert_tokens()->Add(layer.expert_tokens.begin(), layer.expert_tokens.end());
}

absl::StatusOr<WorkerInfo> FromProto(const proto::WorkerInfo& info) {
  WorkerInfo out;
  out.worker_id = std::string(info.worker_id());
  ASSIGN_OR_RETURN(out.identity, FromProto(info.identity()));
  out.weights_bytes = info.weights_bytes();
  out.memory_bytes = info.memory_bytes();
  out.experts_loaded = info.experts_loaded();
  out.draining = info.draining();
  return out;
}

absl::Status StatusFromWire(int code, const std::string& message) {
  const bool known = code > 0 && code <= static_cast<int>(absl::StatusCode::kUnauthenticated);
  return absl::Status(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown, message);
}

std::chrono::system_clock::time_point ToGrpcDeadline(absl::Time deadline) {
  return absl::ToChronoTime(std::max(deadline, absl::UnixEpoch()));
}

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

absl::Status FromGrpc(const grpc::Status& status) {
  return status.ok() ? absl::OkStatus() : StatusFromWire(status.error_code(), status.error_message());
}

}  // namespace tandem::transport
