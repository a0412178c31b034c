// The memory that a router and a worker on one host share: a memfd with one ring for each direction.
//
//   page 0            RingControl of the dispatch ring, RingControl of the combine ring
//   dispatch_bytes    data of the dispatch ring
//   combine_bytes     data of the combine ring
//
// Each ring's data is mapped twice, one copy behind the other, so that every record is contiguous in memory wherever it
// begins. The file is sealed: neither side can shrink it and make the other fault.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace tandem::transport {

// Positions only grow. Where in the data the record at a position lies is told by the records before it (shm_ring.h).
struct RingControl {
  alignas(64) std::atomic<uint64_t> head;        // written up to here; the producer's
  std::atomic<uint64_t> restart;                 // the latest position that lies at the data's begin; the producer's
  alignas(64) std::atomic<uint64_t> tail;        // free again up to here; the consumer's
  alignas(64) std::atomic<uint32_t> wants_room;  // set by a producer that found no room, cleared by the consumer
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

struct RingMemory {
  RingControl* control = nullptr;
  std::byte* data = nullptr;  // 2 * capacity bytes of address space
  size_t capacity = 0;        // a power of two
};

struct SegmentSizes {
  uint64_t dispatch_bytes = uint64_t{4} << 20;
  uint64_t combine_bytes = uint64_t{32} << 20;
};

// Owns the mapping. Memory is used as it is touched, not before.
class ShmSegment {
 public:
  // Errors: INVALID_ARGUMENT (sizes), RESOURCE_EXHAUSTED or UNAVAILABLE (the system).
  static absl::StatusOr<ShmSegment> Create(const SegmentSizes& sizes);

  // Maps the other side's segment after checking that it is what its owner says. Errors: INVALID_ARGUMENT.
  static absl::StatusOr<ShmSegment> Adopt(UniqueFd fd, const SegmentSizes& sizes);

  ShmSegment(ShmSegment&& other) noexcept;
  ShmSegment& operator=(ShmSegment&&) = delete;
  ~ShmSegment();

  const UniqueFd& fd() const { return fd_; }
  const RingMemory& dispatch() const { return dispatch_; }
  const RingMemory& combine() const { return combine_; }

 private:
  explicit ShmSegment(UniqueFd fd) : fd_(std::move(fd)) {}
  absl::Status Map(const SegmentSizes& sizes);

  UniqueFd fd_;
  std::byte* base_ = nullptr;
  size_t mapped_bytes_ = 0;
  RingMemory dispatch_;
  RingMemory combine_;
};

}  // namespace tandem::transport
