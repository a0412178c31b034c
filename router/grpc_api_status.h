// absl::Status as gRPC clients see it.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace tandem::router {

// Same code; the message is the one that HTTP clients get. Details: google.rpc.ErrorInfo, and BadRequest or RetryInfo
// where they apply.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace tandem::router
