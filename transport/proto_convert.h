// Between the generated messages of the expert plane and Tandem's plain structs. Private to transport/: protobuf types
// go no further up.
#pragma once

#include <grpcpp/support/status.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/expert/v1/expert_service.pb.h"
#include "transport/expert_channel.h"

namespace tandem::transport {

namespace proto = ::tandem::expert::v1;

proto::DType ToProto(compute::DType dtype);
// Errors: INVALID_ARGUMENT for a value this build does not know.
absl::StatusOr<compute::DType> FromProto(proto::DType dtype);

void ToProto(const ModelIdentity& identity, proto::ModelIdentity* out);
absl::StatusOr<ModelIdentity> FromProto(const proto::ModelIdentity& identity);

void ToProto(const WorkerInfo& info, proto::WorkerInfo* out);
void ToProto(const LayerStatistics& layer, proto::LayerStatistics* out);

absl::StatusOr<WorkerInfo> FromProto(const proto::WorkerInfo& info);

// Both enumerations number the canonical codes alike; unknown numbers become UNKNOWN. Never OK.
absl::Status StatusFromWire(int code, const std::string& message);

// For gRPC, which takes times before 1970, absl::InfinitePast() among them, as "no deadline".
std::chrono::system_clock::time_point ToGrpcDeadline(absl::Time deadline);

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace tandem::transport
