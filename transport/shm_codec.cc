#include "transport/shm_codec.h"

#include <cstring>
#include <limits>
#include <string>

#include "base/status.h"
#include "compute/wire_rows.h"

namespace tandem::transport {
namespace {

constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

struct DispatchHeader {
  uint64_t frame_id;
  uint64_t placement_epoch;
  int64_t deadline_unix_ns;
  uint32_t num_pairs;
  int32_t layer;
  int32_t num_rows;
  int32_t hidden_size;
  int32_t dtype;
};
static_assert(sizeof(DispatchHeader) <= kLeadBytes && std::is_trivially_copyable_v<DispatchHeader>);

struct CombineHeader {
  uint64_t frame_id;
  uint64_t payload_bytes;  // outputs, or the text of the error
  int64_t compute_ns;
  int64_t queue_ns;
  int32_t status_code;  // 0: outputs
};
static_assert(sizeof(CombineHeader) <= kLeadBytes && std::is_trivially_copyable_v<CombineHeader>);

size_t PairsBytes(size_t num_pairs) { return AlignRecord(num_pairs * sizeof(ExpertPair)); }

template <typename T>
absl::Span<const std::byte> BytesOf(const T* values, size_t count) {
  return {reinterpret_cast<const std::byte*>(values), count * sizeof(T)};
}

template <typename Header>
bool CopyHeader(const FrameBuffer& message, Header* header) {
  if (message.size() < kLeadBytes) {
    return false;
  }
  std::memcpy(header, message.data(), sizeof(Header));
  return true;
}

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed dispatch frame: ", what));
}

absl::StatusOr<DispatchFrame> ToFrame(const DispatchHeader& header, FrameBuffer message) {
  DispatchFrame frame;
  frame.placement_epoch = header.placement_epoch;
  frame.layer = header.layer;
  frame.num_rows = header.num_rows;
  frame.hidden_size = header.hidden_size;
  frame.dtype = static_cast<compute::DType>(header.dtype);
  if (header.dtype != static_cast<int32_t>(frame.dtype) || !compute::IsWireDType(frame.dtype)) {
    return Malformed(absl::StrCat("dtype ", header.dtype, " is not one for rows on the wire"));
  }
  // Two positive int32 and at most 4 bytes: below 2^64, and rows_begin is below 2^36.
  const uint64_t rows_bytes = frame.num_rows < 0 || frame.hidden_size <= 0
                                  ? 0
                                  : frame.num_rows * compute::DispatchRowBytes(frame.dtype, frame.hidden_size);
  const uint64_t rows_begin = kLeadBytes + PairsBytes(header.num_pairs);
  if (rows_begin > message.size() || AlignRecord(rows_bytes) != message.size() - rows_begin) {
    return Malformed("its parts do not add up to its length");
  }
  const auto* const pairs = reinterpret_cast<const ExpertPair*>(message.data() + kLeadBytes);
  frame.pairs.assign(pairs, pairs + header.num_pairs);
  frame.rows = std::move(message).Part(rows_begin, rows_bytes);
  if (header.deadline_unix_ns != kNoDeadline) {
    frame.deadline = absl::FromUnixNanos(header.deadline_unix_ns);
  }
  RETURN_IF_ERROR(ValidateDispatch(frame));
  return frame;
}

}  // namespace

absl::Status SendDispatch(ShmLink& link, uint64_t frame_id, const DispatchFrame& frame) {
  const DispatchHeader header{
      .frame_id = frame_id,
      .placement_epoch = frame.placement_epoch,
      .deadline_unix_ns = frame.deadline == absl::InfiniteFuture() ? kNoDeadline : absl::ToUnixNanos(frame.deadline),
      .num_pairs = static_cast<uint32_t>(frame.pairs.size()),
      .layer = frame.layer,
      .num_rows = frame.num_rows,
      .hidden_size = frame.hidden_size,
      .dtype = static_cast<int32_t>(frame.dtype)};
  return link.Send(BytesOf(&header, 1), {BytesOf(frame.pairs.data(), frame.pairs.size()), frame.rows.bytes()});
}

absl::Status SendCombine(ShmLink& link, uint64_t frame_id, const absl::StatusOr<CombineFrame>& result) {
  CombineHeader header{.frame_id = frame_id, .status_code = static_cast<int32_t>(result.status().code())};
  if (!result.ok()) {
    const absl::string_view text = result.status().message();
    header.payload_bytes = text.size();
    return link.Send(BytesOf(&header, 1), {BytesOf(text.data(), text.size())});
  }
  header.payload_bytes = result->outputs.size();
  header.compute_ns = absl::ToInt64Nanoseconds(result->compute_time);
  header.queue_ns = absl::ToInt64Nanoseconds(result->queue_time);
  return link.Send(BytesOf(&header, 1), {result->outputs.bytes()});
}

FrameBuffer LendRows(ShmLink& link, size_t num_pairs, size_t bytes) { return link.Lend(PairsBytes(num_pairs), bytes); }

FrameBuffer LendOutputs(ShmLink& link, size_t bytes) { return link.Lend(0, bytes); }

ReadDispatch ParseDispatch(FrameBuffer message) {
  DispatchHeader header;
  if (!CopyHeader(message, &header) || header.frame_id == 0) {
    return {.frame = Malformed("no header")};
  }
  return {.frame_id = header.frame_id, .frame = ToFrame(header, std::move(message))};
}

ReadCombine ParseCombine(FrameBuffer message) {
  CombineHeader header;
  if (!CopyHeader(message, &header) || header.frame_id == 0) {
    return {.result = absl::InternalError("broken combine frame: no header")};
  }
  if (header.payload_bytes > message.size() - kLeadBytes) {
    return {.frame_id = header.frame_id, .result = absl::InternalError("broken combine frame: truncated")};
  }
  if (header.status_code != 0) {
    const bool known =
        header.status_code > 0 && header.status_code <= static_cast<int>(absl::StatusCode::kUnauthenticated);
    const auto* text = reinterpret_cast<const char*>(message.data()) + kLeadBytes;
    return {
        .frame_id = header.frame_id,
        .result = absl::Status(known ? static_cast<absl::StatusCode>(header.status_code) : absl::StatusCode::kUnknown,
                               std::string(text, header.payload_bytes))};
  }
  CombineFrame frame;
  frame.outputs = std::move(message).Part(kLeadBytes, header.payload_bytes);
  frame.compute_time = absl::Nanoseconds(header.compute_ns);
  frame.queue_time = absl::Nanoseconds(header.queue_ns);
  return {.frame_id = header.frame_id, .result = std::move(frame)};
}

}  // namespace tandem::transport
