#include "transport/frame.h"

#include "absl/strings/str_cat.h"
#include "compute/wire_rows.h"

namespace tandem::transport {
namespace {

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed dispatch frame: ", what));
}

absl::Status ValidatePairs(const DispatchFrame& frame) {
  const ExpertPair* previous = nullptr;
  for (const ExpertPair& pair : frame.pairs) {
    if (pair.row < 0 || pair.row >= frame.num_rows || pair.expert < 0) {
      return Malformed(absl::StrCat("pair (row ", pair.row, ", expert ", pair.expert,
                                    ") is out of range, the frame has ", frame.num_rows, " rows"));
    }
    if (previous != nullptr &&
        (pair.expert < previous->expert || (pair.expert == previous->expert && pair.row <= previous->row))) {
      return Malformed(absl::StrCat("pairs are not sorted by expert, then row: (row ", pair.row, ", expert ",
                                    pair.expert, ") follows (row ", previous->row, ", expert ", previous->expert, ")"));
    }
    previous = &pair;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateDispatch(const DispatchFrame& frame) {
  if (frame.layer < 0 || frame.num_rows < 0 || frame.hidden_size <= 0) {
    return Malformed(
        absl::StrCat("layer ", frame.layer, ", num_rows ", frame.num_rows, ", hidden_size ", frame.hidden_size));
  }
  if (!compute::IsWireDType(frame.dtype)) {
    return Malformed(absl::StrCat("dtype ", compute::DTypeName(frame.dtype), " is not one for rows on the wire"));
  }
  // Two positive int32 and at most 4 bytes: below 2^64.
  const uint64_t expected =
      static_cast<uint64_t>(frame.num_rows) * compute::DispatchRowBytes(frame.dtype, frame.hidden_size);
  if (frame.rows.size() != expected) {
    return Malformed(absl::StrCat(frame.num_rows, " rows of ", frame.hidden_size, " ", compute::DTypeName(frame.dtype),
                                  " are ", expected, " bytes, got ", frame.rows.size()));
  }
  return ValidatePairs(frame);
}

size_t OutputBytes(const DispatchFrame& frame) {
  return frame.pairs.size() * frame.hidden_size * compute::DTypeBytes(compute::CombineDType(frame.dtype));
}

FrameBuffer AllocateOutputs(const DispatchFrame& frame) {
  const size_t bytes = OutputBytes(frame);
  if (frame.origin != nullptr && bytes > 0) {
    FrameBuffer lent = frame.origin->Lend(bytes);
    if (lent.size() == bytes) {
      return lent;
    }
  }
  return FrameBuffer(bytes);
}

}  // namespace tandem::transport
