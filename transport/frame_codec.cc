#include "transport/frame_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "transport/proto_convert.h"

namespace tandem::transport {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

constexpr uint32_t kLengthDelimited = 2;
constexpr uint32_t kPayloadTag = (15u << 3) | kLengthDelimited;
static_assert(proto::ExchangeRequest::kRowsFieldNumber == 15 && proto::ExchangeResponse::kOutputsFieldNumber == 15);

// The frame's bytes as a slice that keeps them alive.
grpc::Slice PayloadSlice(const FrameBuffer& buffer) {
  auto* owner = new FrameBuffer(buffer);
  return grpc::Slice(
      const_cast<std::byte*>(owner->data()), owner->size(), [](void* p) { delete static_cast<FrameBuffer*>(p); },
      owner);
}

template <typename Header>
grpc::ByteBuffer Encode(const Header& header, const FrameBuffer& payload) {
  std::string bytes = header.SerializeAsString();
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

// Splits a message into its header fields and the payload that ends it.
template <typename Header>
absl::Status Decode(const grpc::ByteBuffer& message, Header* header, FrameBuffer* payload) {
  grpc::ByteBuffer bytes(message);  // shares the slices; the reader wants a mutable buffer
  const size_t length = bytes.Length();
  if (length > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return absl::InvalidArgumentError(absl::StrCat("message of ", length, " bytes is larger than 2 GiB"));
  }
  int header_size = 0;
  uint32_t payload_size = 0;
  {
    grpc::ProtoBufferReader stream(&bytes);
    CodedInputStream in(&stream);
    uint32_t tag = 0;
    while ((tag = in.ReadTag()) != 0 && tag != kPayloadTag) {
      if (!SkipField(in, tag)) {
        return absl::InvalidArgumentError("not a protobuf message");
      }
      header_size = in.CurrentPosition();
    }
    if (tag == 0 && !in.ConsumedEntireMessage()) {
      return absl::InvalidArgumentError("not a protobuf message");
    }
    if (tag == kPayloadTag) {
      if (!in.ReadVarint32(&payload_size) || in.CurrentPosition() + uint64_t{payload_size} != length) {
        return absl::InvalidArgumentError("payload does not end the message");
      }
      *payload = FrameBuffer(payload_size);
      if (!in.ReadRaw(payload->mutable_bytes().data(), static_cast<int>(payload_size))) {
        return absl::InvalidArgumentError("truncated payload");
      }
    }
  }
  grpc::ProtoBufferReader stream(&bytes);
  if (!header->ParseFromBoundedZeroCopyStream(&stream, header_size)) {
    return absl::InvalidArgumentError("unreadable header fields");
  }
  return absl::OkStatus();
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

grpc::ByteBuffer EncodeDispatch(uint64_t frame_id, const DispatchFrame& frame, absl::Time now) {
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
  return Encode(header, frame.rows);
}

DecodedDispatch DecodeDispatch(const grpc::ByteBuffer& message, absl::Time now) {
  proto::ExchangeRequest header;
  FrameBuffer rows;
  const absl::Status status = Decode(message, &header, &rows);
  if (!status.ok()) {
    return {.frame = status};
  }
  if (header.frame_id() == 0) {
    return {.frame = absl::InvalidArgumentError("frame_id is missing")};
  }
  return {.frame_id = header.frame_id(), .frame = ToFrame(header, std::move(rows), now)};
}

grpc::ByteBuffer EncodeCombine(uint64_t frame_id, const absl::StatusOr<CombineFrame>& result) {
  proto::ExchangeResponse header;
  header.set_frame_id(frame_id);
  if (!result.ok()) {
    header.set_status_code(static_cast<int>(result.status().code()));
    header.set_status_message(std::string(result.status().message()));
    return Encode(header, FrameBuffer());
  }
  header.set_compute_us(absl::ToInt64Microseconds(result->compute_time));
  header.set_queue_us(absl::ToInt64Microseconds(result->queue_time));
  return Encode(header, result->outputs);
}

DecodedCombine DecodeCombine(const grpc::ByteBuffer& message) {
  proto::ExchangeResponse header;
  CombineFrame frame;
  const absl::Status status = Decode(message, &header, &frame.outputs);
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
