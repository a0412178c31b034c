// Between the messages of the stage plane and Tandem's plain structs. Private to transport/.
#pragma once

#include "absl/status/statusor.h"
#include "tandem/stage/v1/stage_service.pb.h"
#include "transport/stage_link.h"

namespace tandem::transport {

namespace stage_proto = ::tandem::stage::v1;

stage_proto::StageMessage EncodeStageMessage(const StageMessage& message);
// Takes the rows' bytes out of `message`. Errors: INVALID_ARGUMENT for an unknown kind of message.
absl::StatusOr<StageMessage> DecodeStageMessage(stage_proto::StageMessage& message);

stage_proto::HandshakeRequest EncodeTerms(const StageTerms& terms);
// Errors: INVALID_ARGUMENT for values that this build does not know.
absl::StatusOr<StageTerms> DecodeTerms(const stage_proto::HandshakeRequest& request);

}  // namespace tandem::transport
