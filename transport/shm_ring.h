// A ring of records between one producing and one consuming process, lock-free between the two.
//
// A record begins on a 64-byte border, with a header of 16 bytes. Its body follows, so that the first 48 bytes of a
// message come with the header's cache line and what is behind them lies on a 64-byte border. The producer reserves
// room, fills it in place and commits; the consumer takes records and releases them when nobody needs their bytes any
// more. Within one side records may be committed or released in any order: head and tail move over what is finished at
// the front.
//
// Records follow each other around the data. But a producer that finds the ring empty starts at the data's begin again,
// once it has used as many bytes as stay in a core's cache: memory that was last touched a whole lap ago costs several
// times what a copy within the cache does. Since nothing is under way then, all that the consumer needs to know is the
// position at which that was (`restart`).
//
// Memory order: the body is written before `head` is stored and read after `head` is loaded, and its room is reused
// only after `tail` was stored and loaded; release and acquire would do for that. Both stores are sequentially
// consistent because a look at the other side's doorbell or `wants_room` follows them (doorbell.h).
//
// What the other side writes is not trusted: positions and headers are checked on every use, and copied before.
// Neither class is thread-safe; the link that owns them locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transport/shm_segment.h"

namespace tandem::transport {

inline constexpr size_t kRecordAlignment = 64;

// Of a body, that share a line with the record's header.
inline constexpr size_t kLeadBytes = 48;

inline constexpr size_t AlignRecord(size_t bytes) {
  return (bytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

enum class RecordKind : uint32_t {
  kSkip = 1,   // nothing, to be released at once
  kWhole = 2,  // the body is a message
  kPart = 3,   // the body is a piece of a message of `message_bytes`, pieces come in order and without gaps
};

struct RecordHeader {
  uint64_t message_bytes;  // kPart: of the whole message
  uint32_t body_bytes;     // without the padding to the next record
  RecordKind kind;

  size_t record_bytes() const { return AlignRecord(sizeof(RecordHeader) + body_bytes); }
};
static_assert(sizeof(RecordHeader) + kLeadBytes == kRecordAlignment);

// Spans of positions that are opened in ascending order and closed in any.
class InOrderSpans {
 public:
  void Open(uint64_t begin, uint64_t end) {
    if (size_ == spans_.size()) {
      Grow();
    }
    At(size_++) = {begin, end, false};
  }
  // Everything below the result has been closed; nullopt if the front is still open. `begin` must be open.
  std::optional<uint64_t> Close(uint64_t begin);

 private:
  struct Span {
    uint64_t begin;
    uint64_t end;
    bool closed;
  };
  Span& At(size_t index) { return spans_[(front_ + index) & (spans_.size() - 1)]; }
  size_t Find(uint64_t begin);
  void Grow();

  // The oldest lies at `front_`, the others behind it, around the end. Mostly there is one or none.
  std::vector<Span> spans_ = std::vector<Span>(8);  // a power of two
  size_t front_ = 0;
  size_t size_ = 0;
};

class RingProducer {
 public:
  explicit RingProducer(const RingMemory& memory) : memory_(memory) {}

  struct Slot {
    uint64_t position = 0;
    std::byte* body = nullptr;
  };

  // Longest body that one record can have.
  size_t max_body_bytes() const { return memory_.capacity / 2 - sizeof(RecordHeader); }

  // Room for a body of at most max_body_bytes(); nullopt when there is none now.
  // Errors: DATA_LOSS when the consumer broke the ring.
  absl::StatusOr<std::optional<Slot>> Reserve(size_t body_bytes);

  // Hands a reserved record on, in the order of reservations. True if the consumer may see something new.
  bool Commit(const Slot& slot, size_t body_bytes, RecordKind kind, uint64_t message_bytes = 0);

  // Asks the consumer to ring when it releases something; look for room once more afterwards.
  void WantRoom() { memory_.control->wants_room.store(1, std::memory_order_seq_cst); }

 private:
  // Looks at what the consumer has released, and starts at the data's begin if that is everything.
  absl::Status LookAtTail();

  const RingMemory memory_;
  uint64_t reserved_ = 0;  // position behind the last reservation
  uint64_t tail_ = 0;      // as last seen, never moves back
  size_t offset_ = 0;      // of reserved_ in the data
  InOrderSpans open_;
};

class RingConsumer {
 public:
  explicit RingConsumer(const RingMemory& memory) : memory_(memory) {}

  struct Record {
    uint64_t position = 0;
    RecordHeader header;  // a checked copy
    const std::byte* body = nullptr;
  };

  // The next record; nullopt when there is none. Errors: DATA_LOSS when the producer broke the ring.
  absl::StatusOr<std::optional<Record>> Take();

  // The record's bytes may be written over. True if the producer waits for room.
  bool Release(uint64_t position);

 private:
  const RingMemory memory_;
  uint64_t taken_ = 0;  // position behind the last record taken
  size_t offset_ = 0;   // of taken_ in the data
  InOrderSpans held_;
};

}  // namespace tandem::transport
