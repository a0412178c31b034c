// Changes bytes of frames as a bad network would: the message that would travel is written, some of its bytes are
// changed, and it is read again by the very code that reads messages from a network, with checksums.
#pragma once

#include <cstdint>

#include "transport/frame_codec.h"

namespace tandem::transport {

// What the receiver makes of the frame. The same seed changes the same bytes.
DecodedDispatch DamagedDispatch(uint64_t frame_id, const DispatchFrame& frame, uint64_t seed);
DecodedCombine DamagedCombine(uint64_t frame_id, const absl::StatusOr<CombineFrame>& result, uint64_t seed);

}  // namespace tandem::transport
