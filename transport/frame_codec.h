// Frames as gRPC messages. The bytes are exactly the protobuf messages ExchangeRequest and ExchangeResponse
// (proto/tandem/expert/v1/expert_service.proto); only the way they are produced and read differs from generated code:
//
//   send     a small slice with the header fields, then a slice that refers to the frame's own buffer: no copy
//   receive  header fields are parsed in place, the payload is copied once into an aligned buffer
//
// With checksums a message says in its last header field what its header and its payload must hash to. A damaged payload
// is the frame's own error, DATA_LOSS; a damaged header makes the message unreadable.
//
// Received bytes are not trusted: whatever they are, the result is a valid frame or an error, and no more memory is
// taken than a small multiple of the bytes that arrived. Functions are pure and thread-safe.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "transport/frame.h"

namespace tandem::transport {

// Whether messages are written with a checksum, and refused without one. Both ends of a stream must mean the same.
enum class Checksums : bool { kOff, kOn };

// Sent with the value "1" by a router that wants them on a stream.
inline constexpr char kChecksumsMetadata[] = "tandem-checksums";

// `now` turns the frame's deadline into a time left and back.
grpc::ByteBuffer EncodeDispatch(uint64_t frame_id, const DispatchFrame& frame, absl::Time now,
                                Checksums checksums = Checksums::kOff);

struct DecodedDispatch {
  uint64_t frame_id = 0;  // 0: unreadable, there is nobody to answer
  // Errors: INVALID_ARGUMENT, DATA_LOSS; otherwise the frame passes ValidateDispatch.
  absl::StatusOr<DispatchFrame> frame = absl::UnknownError("");
};
DecodedDispatch DecodeDispatch(const grpc::ByteBuffer& message, absl::Time now,
                               Checksums checksums = Checksums::kOff);

grpc::ByteBuffer EncodeCombine(uint64_t frame_id, const absl::StatusOr<CombineFrame>& result,
                               Checksums checksums = Checksums::kOff);

struct DecodedCombine {
  uint64_t frame_id = 0;  // 0: unreadable
  // The worker's outputs or error; INTERNAL if the message is broken, DATA_LOSS if its outputs are.
  absl::StatusOr<CombineFrame> result = absl::UnknownError("");
};
DecodedCombine DecodeCombine(const grpc::ByteBuffer& message, Checksums checksums = Checksums::kOff);

}  // namespace tandem::transport
