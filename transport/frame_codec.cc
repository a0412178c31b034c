#include "transport/frame_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>
#include <xxhash.h>

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "transport/proto_convert.h"

namespace tandem::transport {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

constexpr uint32_t kLengthDelimited = 2;
constexpr uint32_t kPayloadTag = (15u << 3) | kLengthDelimited;
static_assert(proto::ExchangeRequest::kRowsFieldNumber == 15 && proto::ExchangeResponse::kOutputsFieldNumber == 15);
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kChecksumTag = (14u << 3) | kFixed64;
static_assert(proto::ExchangeRequest::kChecksumFieldNumber == 14 &&
              proto::ExchangeResponse::kChecksumFieldNumber == 14);

// The frame's bytes as a slice that keeps them alive.
grpc::Slice PayloadSlice(const FrameBuffer& buffer) {
  auto* owner = new FrameBuffer(buffer);
  return grpc::Slice(
      const_cast<std::byte*>(owner->data()), owner->size(), [](void* p) { delete static_cast<FrameBuffer*>(p); },
      owner);
}

uint32_t ShortHash(const void* data, size_t size) { return static_cast<uint32_t>(XXH3_64bits(data, size)); }

uint64_t ChecksumOf(absl::string_view header, const FrameBuffer& payload) {
  return uint64_t{ShortHash(payload.data(), payload.size())} << 32 | ShortHash(header.data(), header.size());
}

void AppendChecksum(const FrameBuffer& payload, std::string& header) {
  uint8_t field[16];
  uint8_t* end = CodedOutputStream::WriteTagToArray(kChecksumTag, field);
  end = CodedOutputStream::WriteLittleEndian64ToArray(ChecksumOf(header, payload), end);
  header.append(reinterpret_cast<const char*>(field), end - field);
}

template <typename Header>
grpc::ByteBuffer Encode(const Header& header, const FrameBuffer& payload, Checksums checksums) {
  std::string bytes = header.SerializeAsString();
  if (checksums == Checksums::kOn) {
    AppendChecksum(payload, bytes);
  }
  if (payload.size() == 0) {
    const grpc::Slice slice(bytes);
    return grpc::ByteBuffer(&slice, 1);
  }
  uint8_t prefix[16];
  uint8_t* end = CodedOutputStream::WriteTagToArray(kPayloadTag, prefix);
  end = CodedOutputStream::WriteVarint64ToArray(payload.size(), end);
  bytes.append(reinterpret_cast<const char*>(prefix), end - prefix);
  const grpc::Slice slices[] = {grpc::Slice(bytes), PayloadSlice(payload)};
  return grpc::ByteBuffer(slices, 2);
}

bool SkipField(CodedInputStream& in, uint32_t tag) {
  uint64_t varint;
  uint32_t length;
  switch (tag & 7) {
    case 0:
      return in.ReadVarint64(&varint);
    case 1:
      return in.Skip(8);
    case kLengthDelimited:
      return in.ReadVarint32(&length) && length <= static_cast<uint32_t>(std::numeric_limits<int>::max()) &&
             in.Skip(static_cast<int>(length));
    case 5:
      return in.Skip(4);
    default:  // groups, which the messages do not have
      return false;
  }
}

// Where a message's parts are, and its payload.
struct Parts {
  int header_size = 0;    // bytes before the payload
  int checked_size = -1;  // bytes before the checksum, which ends the header; -1: there is none
  uint64_t checksum = 0;
  FrameBuffer payload;
};

absl::Status ReadPayload(CodedInputStream& in, size_t length, FrameBuffer* payload) {
  uint32_t size = 0;
  if (!in.ReadVarint32(&size) || in.CurrentPosition() + uint64_t{size} != length) {
    return absl::InvalidArgumentError("payload does not end the message");
  }
  *payload = FrameBuffer(size);
  if (!in.ReadRaw(payload->mutable_bytes().data(), static_cast<int>(size))) {
    return absl::InvalidArgumentError("truncated payload");
  }
  return absl::OkStatus();
}

absl::Status Split(grpc::ByteBuffer& message, Parts& parts) {
  const size_t length = message.Length();
  grpc::ProtoBufferReader stream(&message);
  CodedInputStream in(&stream);
  uint32_t tag = 0;
  while ((tag = in.ReadTag()) != 0 && tag != kPayloadTag) {
    parts.checked_size = tag == kChecksumTag ? parts.header_size : -1;
    if (!(tag == kChecksumTag ? in.ReadLittleEndian64(&parts.checksum) : SkipField(in, tag))) {
      return absl::InvalidArgumentError("not a protobuf message");
    }
    parts.header_size = in.CurrentPosition();
  }
  if (tag == kPayloadTag) {
    return ReadPayload(in, length, &parts.payload);
  }
  return in.ConsumedEntireMessage() ? absl::OkStatus() : absl::InvalidArgumentError("not a protobuf message");
}

// Errors: INVALID_ARGUMENT for a header that is not what was sent, DATA_LOSS for such a payload.
absl::Status CheckChecksum(grpc::ByteBuffer& message, const Parts& parts) {
  if (parts.checked_size < 0) {
    return absl::InvalidArgumentError("the message has no checksum");
  }
  std::string header;
  grpc::ProtoBufferReader stream(&message);
  CodedInputStream in(&stream);
  if (!in.ReadString(&header, parts.checked_size)) {
    return absl::InvalidArgumentError("unreadable header fields");
  }
  const uint64_t difference = ChecksumOf(header, parts.payload) ^ parts.checksum;
  if (static_cast<uint32_t>(difference) != 0) {
    return absl::InvalidArgumentError("the header was damaged on its way: its checksum differs");
  }
  return difference == 0 ? absl::OkStatus()
                         : absl::DataLossError("the frame was damaged on its way: its checksum differs");
}

// Splits a message into its header fields and the payload that ends it. With DATA_LOSS the header is good.
template <typename Header>
absl::Status Decode(const grpc::ByteBuffer& message, Checksums checksums, Header* header, FrameBuffer* payload) {
  grpc::ByteBuffer bytes(message);  // shares the slices; the reader wants a mutable buffer
  const size_t length = bytes.Length();
  if (length > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return absl::InvalidArgumentError(absl::StrCat("message of ", length, " bytes is larger than 2 GiB"));
  }
  Parts parts;
  RETURN_IF_ERROR(Split(bytes, parts));
  const absl::Status checked = checksums == Checksums::kOn ? CheckChecksum(bytes, parts) : absl::OkStatus();
  if (!checked.ok() && !absl::IsDataLoss(checked)) {
    return checked;
  }
  grpc::ProtoBufferReader stream(&bytes);
  if (!header->ParseFromBoundedZeroCopyStream(&stream, parts.header_size)) {
    return absl::InvalidArgumentError("unreadable header fields");
  }
  *payload = std::move(parts.payload);
  return checked;
}

absl::StatusOr<DispatchFrame> ToFrame(const proto::ExchangeRequest& header, FrameBuffer rows, absl::Time now) {
  DispatchFrame frame;
  const auto dtype = FromProto(header.dtype());
  if (!dtype.ok()) {
    return dtype.status();
  }
  if (header.pair_rows_size() != header.pair_experts_size()) {
    return absl::InvalidArgumentError(absl::StrCat("malformed dispatch frame: ", header.pair_rows_size(),
                                                   " pair_rows but ", header.pair_experts_size(), " pair_experts"));
  }
  frame.placement_epoch = header.placement_epoch();
  frame.layer = header.layer();
  frame.num_rows = header.num_rows();
  frame.hidden_size = header.hidden_size();
  frame.dtype = *dtype;
  frame.pairs.reserve(header.pair_rows_size());
  for (int i = 0; i < header.pair_rows_size(); ++i) {
    frame.pairs.push_back({.row = header.pair_rows(i), .expert = header.pair_experts(i)});
  }
  frame.rows = std::move(rows);
  if (header.timeout_us() > 0) {
    frame.deadline = now + absl::Microseconds(header.timeout_us());
  }
  const absl::Status valid = ValidateDispatch(frame);
  if (!valid.ok()) {
    return valid;
  }
  return frame;
}

}  // namespace

grpc::ByteBuffer EncodeDispatch(uint64_t frame_id, const DispatchFrame& frame, absl::Time now, Checksums checksums) {
  proto::ExchangeRequest header;
  header.set_frame_id(frame_id);
  header.set_placement_epoch(frame.placement_epoch);
  header.set_layer(frame.layer);
  header.set_dtype(ToProto(frame.dtype));
  header.set_num_rows(frame.num_rows);
  header.set_hidden_size(frame.hidden_size);
  if (frame.deadline != absl::InfiniteFuture()) {
    // An expired deadline must not turn into "no limit".
    header.set_timeout_us(std::max<int64_t>(1, absl::ToInt64Microseconds(frame.deadline - now)));
  }
  header.mutable_pair_rows()->Reserve(static_cast<int>(frame.pairs.size()));
  header.mutable_pair_experts()->Reserve(static_cast<int>(frame.pairs.size()));
  for (const ExpertPair& pair : frame.pairs) {
    header.add_pair_rows(pair.row);
    header.add_pair_experts(pair.expert);
  }
  return Encode(header, frame.rows, checksums);
}

DecodedDispatch DecodeDispatch(const grpc::ByteBuffer& message, absl::Time now, Checksums checksums) {
  proto::ExchangeRequest header;
  FrameBuffer rows;
  const absl::Status status = Decode(message, checksums, &header, &rows);
  if (absl::IsDataLoss(status)) {
    return {.frame_id = header.frame_id(), .frame = status};
  }
  if (!status.ok()) {
    return {.frame = status};
  }
  if (header.frame_id() == 0) {
    return {.frame = absl::InvalidArgumentError("frame_id is missing")};
  }
  return {.frame_id = header.frame_id(), .frame = ToFrame(header, std::move(rows), now)};
}

grpc::ByteBuffer EncodeCombine(uint64_t frame_id, const absl::StatusOr<CombineFrame>& result, Checksums checksums) {
  proto::ExchangeResponse header;
  header.set_frame_id(frame_id);
  if (!result.ok()) {
    header.set_status_code(static_cast<int>(result.status().code()));
    header.set_status_message(std::string(result.status().message()));
    return Encode(header, FrameBuffer(), checksums);
  }
  header.set_compute_us(absl::ToInt64Microseconds(result->compute_time));
  header.set_queue_us(absl::ToInt64Microseconds(result->queue_time));
  return Encode(header, result->outputs, checksums);
}

DecodedCombine DecodeCombine(const grpc::ByteBuffer& message, Checksums checksums) {
  proto::ExchangeResponse header;
  CombineFrame frame;
  const absl::Status status = Decode(message, checksums, &header, &frame.outputs);
  if (absl::IsDataLoss(status)) {
    return {.frame_id = header.frame_id(), .result = status};
  }
  if (!status.ok()) {
    return {.result = absl::InternalError(absl::StrCat("broken combine frame: ", status.message()))};
  }
  if (header.frame_id() == 0) {
    return {.frame_id = 0, .result = absl::InternalError("broken combine frame: frame_id is missing")};
  }
  if (header.status_code() != 0) {
    return {.frame_id = header.frame_id(), .result = StatusFromWire(header.status_code(), header.status_message())};
  }
  frame.compute_time = absl::Microseconds(header.compute_us());
  frame.queue_time = absl::Microseconds(header.queue_us());
  return {.frame_id = header.frame_id(), .result = std::move(frame)};
}

}  // namespace tandem::transport
