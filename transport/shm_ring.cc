#include "transport/shm_ring.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::transport {
namespace {

// How much of the data a producer uses before it looks whether the ring is empty: little beside a core's caches and
// page tables, much beside small records, which thus seldom cost a look at what the other side writes.
constexpr size_t kHotBytes = 64 << 10;

absl::Status Broken(absl::string_view what, uint64_t value) {
  return absl::DataLossError(absl::StrCat("shared-memory ring: ", what, " (", value, ")"));
}

}  // namespace

size_t InOrderSpans::Find(uint64_t begin) {
  size_t first = 0;
  for (size_t count = size_; count > 0;) {
    const size_t half = count / 2;
    if (At(first + half).begin < begin) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

std::optional<uint64_t> InOrderSpans::Close(uint64_t begin) {
  const size_t index = size_ > 0 && At(0).begin == begin ? 0 : Find(begin);
  TANDEM_CHECK(index < size_ && At(index).begin == begin && !At(index).closed, "record at ", begin, " is not open");
  At(index).closed = true;
  std::optional<uint64_t> done;
  while (size_ > 0 && At(0).closed) {
    done = At(0).end;
    front_ = (front_ + 1) & (spans_.size() - 1);
    --size_;
  }
  return done;
}

void InOrderSpans::Grow() {
  std::vector<Span> larger(2 * spans_.size());
  for (size_t i = 0; i < size_; ++i) {
    larger[i] = At(i);
  }
  spans_.swap(larger);
  front_ = 0;
}

absl::StatusOr<std::optional<RingProducer::Slot>> RingProducer::Reserve(size_t body_bytes) {
  TANDEM_CHECK(body_bytes <= max_body_bytes(), body_bytes, " bytes in one record");
  const size_t record_bytes = AlignRecord(sizeof(RecordHeader) + body_bytes);
  const auto has_room = [&] { return reserved_ + record_bytes - tail_ <= memory_.capacity; };
  if (offset_ + record_bytes > kHotBytes || !has_room()) {
    RETURN_IF_ERROR(LookAtTail());
    if (!has_room()) {
      return std::nullopt;
    }
  }
  const Slot slot{reserved_, memory_.data + offset_ + sizeof(RecordHeader)};
  reserved_ += record_bytes;
  offset_ = (offset_ + record_bytes) % memory_.capacity;
  open_.Open(slot.position, reserved_);
  return slot;
}

absl::Status RingProducer::LookAtTail() {
  const uint64_t tail = memory_.control->tail.load(std::memory_order_seq_cst);
  if (tail < tail_ || tail > reserved_ || tail % kRecordAlignment != 0) {
    return Broken("the consumer is at an impossible position", tail);
  }
  tail_ = tail;
  if (tail_ == reserved_) {
    offset_ = 0;
    memory_.control->restart.store(reserved_, std::memory_order_relaxed);  // seen by whoever sees the next head
  }
  return absl::OkStatus();
}

bool RingProducer::Commit(const Slot& slot, size_t body_bytes, RecordKind kind, uint64_t message_bytes) {
  const RecordHeader header{message_bytes, static_cast<uint32_t>(body_bytes), kind};
  std::memcpy(slot.body - sizeof(RecordHeader), &header, sizeof(header));
  const std::optional<uint64_t> head = open_.Close(slot.position);
  if (head.has_value()) {
    memory_.control->head.store(*head, std::memory_order_seq_cst);
  }
  return head.has_value();
}

absl::StatusOr<std::optional<RingConsumer::Record>> RingConsumer::Take() {
  const uint64_t head = memory_.control->head.load(std::memory_order_seq_cst);
  if (head == taken_) {
    return std::nullopt;
  }
  const uint64_t available = head - taken_;
  if (available > memory_.capacity || head % kRecordAlignment != 0) {
    return Broken("the producer is at an impossible position", head);
  }
  // Constant until what lies at `taken_` has been released. A bad value leads to nonsense, but not out of the data.
  if (memory_.control->restart.load(std::memory_order_relaxed) == taken_) {
    offset_ = 0;
  }
  Record record;
  record.position = taken_;
  const std::byte* const begin = memory_.data + offset_;
  std::memcpy(&record.header, begin, sizeof(RecordHeader));
  record.body = begin + sizeof(RecordHeader);
  const size_t bytes = record.header.record_bytes();
  if (bytes > available) {
    return Broken("a record has an impossible length", bytes);
  }
  if (record.header.kind < RecordKind::kSkip || record.header.kind > RecordKind::kPart) {
    return Broken("a record of an unknown kind", static_cast<uint32_t>(record.header.kind));
  }
  taken_ += bytes;
  offset_ = (offset_ + bytes) % memory_.capacity;
  held_.Open(record.position, taken_);
  return record;
}

bool RingConsumer::Release(uint64_t position) {
  const std::optional<uint64_t> tail = held_.Close(position);
  if (!tail.has_value()) {
    return false;
  }
  memory_.control->tail.store(*tail, std::memory_order_seq_cst);
  // The load keeps the common case free of a write to the producer's line.
  return memory_.control->wants_room.load(std::memory_order_seq_cst) != 0 &&
         memory_.control->wants_room.exchange(0, std::memory_order_seq_cst) != 0;
}

}  // namespace tandem::transport
