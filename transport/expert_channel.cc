#include "transport/expert_channel.h"

#include "absl/strings/str_cat.h"

namespace tandem::transport {
namespace {

absl::Status Mismatch(absl::string_view field, absl::string_view router, absl::string_view worker) {
  return absl::FailedPreconditionError(absl::StrCat(field, " differs: router has ", router, ", worker has ", worker,
                                                    "; start both with the same model and options"));
}

}  // namespace

absl::Status CheckCompatible(const ModelIdentity& router, const ModelIdentity& worker) {
  if (router.architecture != worker.architecture) {
    return Mismatch("architecture", router.architecture, worker.architecture);
  }
  if (router.checkpoint_digest != worker.checkpoint_digest) {
    return Mismatch("checkpoint_digest", router.checkpoint_digest, worker.checkpoint_digest);
  }
  if (router.weight_dtype != worker.weight_dtype) {
    return Mismatch("weight_dtype", compute::DTypeName(router.weight_dtype), compute::DTypeName(worker.weight_dtype));
  }
  if (router.wire_dtype != worker.wire_dtype) {
    return Mismatch("wire_dtype", compute::DTypeName(router.wire_dtype), compute::DTypeName(worker.wire_dtype));
  }
  return absl::OkStatus();
}

absl::Status CheckProtocolVersion(int32_t router, int32_t worker) {
  if (router == worker) {
    return absl::OkStatus();
  }
  return Mismatch("protocol_version", absl::StrCat(router), absl::StrCat(worker));
}

}  // namespace tandem::transport
