#include "transport/frame_damage.h"

#include <grpcpp/support/slice.h>

#include <random>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/status.h"

namespace tandem::transport {
namespace {

// One to four bytes become others.
grpc::ByteBuffer Damaged(const grpc::ByteBuffer& message, uint64_t seed) {
  std::vector<grpc::Slice> slices;
  TANDEM_CHECK(message.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  std::mt19937_64 random(seed);
  const uint64_t first = random() % bytes.size();
  for (uint64_t n = 0; n < 1 + seed / 2 % 4; ++n) {
    char& byte = bytes[(first + n * (random() % 64)) % bytes.size()];
    byte = static_cast<char>(byte ^ (1 + random() % 255));
  }
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

DecodedDispatch DamagedDispatch(uint64_t frame_id, const DispatchFrame& frame, uint64_t seed) {
  const absl::Time now = absl::Now();
  return DecodeDispatch(Damaged(EncodeDispatch(frame_id, frame, now, Checksums::kOn), seed), now, Checksums::kOn);
}

DecodedCombine DamagedCombine(uint64_t frame_id, const absl::StatusOr<CombineFrame>& result, uint64_t seed) {
  return DecodeCombine(Damaged(EncodeCombine(frame_id, result, Checksums::kOn), seed), Checksums::kOn);
}

}  // namespace tandem::transport
