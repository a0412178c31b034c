#include "transport/shm_link.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::transport {
namespace {

void CopyMessage(ShmLink::Bytes lead, absl::Span<const ShmLink::Bytes> parts, std::byte* to) {
  std::memcpy(to, lead.data(), lead.size());
  to += kLeadBytes;
  for (const ShmLink::Bytes part : parts) {
    if (!part.empty()) {
      std::memcpy(to, part.data(), part.size());
    }
    to += AlignRecord(part.size());
  }
}

bool Contains(const RingMemory& memory, const std::byte* byte) {
  return memory.data <= byte && byte < memory.data + 2 * memory.capacity;
}

// Owners of buffers are used again and again, a pair of them for every frame.
template <typename Owner>
std::unique_ptr<Owner> TakeOrMake(std::vector<std::unique_ptr<Owner>>& idle) {
  if (idle.empty()) {
    return std::make_unique<Owner>();
  }
  std::unique_ptr<Owner> owner = std::move(idle.back());
  idle.pop_back();
  return owner;
}

}  // namespace

// Gives a received message's room back when its last buffer is gone.
class ShmLink::Lease final : public BufferOwner {
 public:
  static FrameBuffer Begin(std::unique_ptr<Lease> lease, std::shared_ptr<ShmLink> link,
                           const RingConsumer::Record& record) {
    lease->link_ = std::move(link);
    lease->position_ = record.position;
    BufferOwner& owner = *lease.release();
    return FrameBuffer(record.body, record.header.body_bytes, owner);
  }

 private:
  void Unused() override {
    const std::shared_ptr<ShmLink> link = std::move(link_);
    link->Release(position_, std::unique_ptr<Lease>(this));
  }

  std::shared_ptr<ShmLink> link_;
  uint64_t position_ = 0;
};

// Room in the outgoing ring that somebody writes to.
class ShmLink::Loan final : public BufferOwner {
 public:
  static FrameBuffer Begin(std::unique_ptr<Loan> loan, std::shared_ptr<ShmLink> link, size_t bytes) {
    loan->link_ = std::move(link);
    Loan& owner = *loan.release();
    return FrameBuffer(owner.part, bytes, owner);
  }

  // Guarded by the link's out_mutex_.
  RingProducer::Slot slot;
  size_t body_bytes = 0;
  const std::byte* part = nullptr;

 private:
  void Unused() override {
    const std::shared_ptr<ShmLink> link = std::move(link_);
    link->GiveBack(std::unique_ptr<Loan>(this));
  }

  std::shared_ptr<ShmLink> link_;
};

ShmLink::ShmLink(ShmSegment segment, Side side, RemoteDoorbell peer, uint64_t max_message_bytes)
    : segment_(std::move(segment)),
      peer_(std::move(peer)),
      max_message_bytes_(max_message_bytes),
      out_memory_(side == Side::kRouter ? segment_.dispatch() : segment_.combine()),
      out_(out_memory_),
      in_memory_(side == Side::kRouter ? segment_.combine() : segment_.dispatch()),
      in_(in_memory_) {}

ShmLink::~ShmLink() = default;

FrameBuffer ShmLink::Lend(size_t others_bytes, size_t bytes) {
  const size_t prefix = kLeadBytes + others_bytes;
  const size_t body_bytes = prefix + AlignRecord(bytes);
  std::unique_ptr<Loan> loan;
  {
    absl::MutexLock lock(&out_mutex_);
    if (!backlog_.empty() || body_bytes > out_.max_body_bytes()) {
      return FrameBuffer();
    }
    const absl::StatusOr<std::optional<RingProducer::Slot>> reserved = out_.Reserve(body_bytes);
    if (!reserved.ok() || !reserved->has_value()) {
      return FrameBuffer();  // a broken ring shows when the answer is sent
    }
    loan = TakeOrMake(idle_loans_);
    loan->slot = **reserved;
    loan->body_bytes = body_bytes;
    loan->part = loan->slot.body + prefix;
    lent_.push_back(loan.get());
  }
  return Loan::Begin(std::move(loan), shared_from_this(), bytes);
}

bool ShmLink::SendLent(Bytes lead, absl::Span<const Bytes> parts, size_t bytes) {
  if (parts.empty() || !Contains(out_memory_, parts.back().data())) {
    return false;
  }
  bool visible = false;
  {
    absl::MutexLock lock(&out_mutex_);
    const auto lent =
        std::find_if(lent_.begin(), lent_.end(), [&](const Loan* loan) { return loan->part == parts.back().data(); });
    if (lent == lent_.end() || (*lent)->body_bytes != bytes) {
      return false;
    }
    const RingProducer::Slot slot = (*lent)->slot;
    lent_.erase(lent);
    CopyMessage(lead, parts.subspan(0, parts.size() - 1), slot.body);
    visible = out_.Commit(slot, bytes, RecordKind::kWhole);
  }
  if (visible) {
    peer_.Ring();
  }
  return true;
}

void ShmLink::GiveBack(std::unique_ptr<Loan> loan) {
  bool visible = false;
  {
    absl::MutexLock lock(&out_mutex_);
    const auto unsent = std::find(lent_.begin(), lent_.end(), loan.get());
    if (unsent != lent_.end()) {
      lent_.erase(unsent);
      visible = out_.Commit(loan->slot, loan->body_bytes, RecordKind::kSkip);
    }
    idle_loans_.push_back(std::move(loan));
  }
  if (visible) {
    peer_.Ring();
  }
}

absl::Status ShmLink::Send(Bytes lead, absl::Span<const Bytes> parts) {
  TANDEM_CHECK(lead.size() <= kLeadBytes, lead.size(), " bytes lead a message");
  size_t bytes = kLeadBytes;
  for (const Bytes part : parts) {
    bytes += AlignRecord(part.size());
  }
  if (bytes > max_message_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("frame of ", bytes, " bytes, at most ", max_message_bytes_, " are allowed"));
  }
  if (SendLent(lead, parts, bytes)) {
    return absl::OkStatus();
  }
  bool visible = false;
  {
    absl::MutexLock lock(&out_mutex_);
    std::optional<RingProducer::Slot> slot;
    if (backlog_.empty() && bytes <= out_.max_body_bytes()) {
      ASSIGN_OR_RETURN(slot, out_.Reserve(bytes));
    }
    if (!slot.has_value()) {
      FrameBuffer message(bytes);
      CopyMessage(lead, parts, message.mutable_bytes().data());
      backlog_.push_back(std::move(message));
      backlog_size_ = backlog_.size();
      return FlushLocked();
    }
    CopyMessage(lead, parts, slot->body);
    visible = out_.Commit(*slot, bytes, RecordKind::kWhole);
  }
  if (visible) {
    peer_.Ring();
  }
  return absl::OkStatus();
}

absl::Status ShmLink::Flush() {
  if (backlog_size_.load(std::memory_order_seq_cst) == 0) {
    return absl::OkStatus();
  }
  absl::MutexLock lock(&out_mutex_);
  return FlushLocked();
}

absl::Status ShmLink::FlushLocked() {
  bool asked = false;
  while (!backlog_.empty()) {
    ASSIGN_OR_RETURN(const bool sent, SendPiece());
    if (sent) {
      asked = false;
      peer_.Ring();
    } else if (asked) {
      return absl::OkStatus();
    } else {
      out_.WantRoom();  // then look once more, see doorbell.h
      asked = true;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ShmLink::SendPiece() {
  const FrameBuffer& message = backlog_.front();
  // Several pieces fit the ring at a time, so that the other side takes one while the next is written.
  const bool whole = message.size() <= out_.max_body_bytes();
  const size_t bytes = whole ? message.size() : std::min(message.size() - sent_of_front_, out_.max_body_bytes() / 2);
  ASSIGN_OR_RETURN(const std::optional<RingProducer::Slot> slot, out_.Reserve(bytes));
  if (!slot.has_value()) {
    return false;
  }
  std::memcpy(slot->body, message.data() + sent_of_front_, bytes);
  out_.Commit(*slot, bytes, whole ? RecordKind::kWhole : RecordKind::kPart, message.size());
  sent_of_front_ += bytes;
  if (sent_of_front_ == message.size()) {
    backlog_.pop_front();
    backlog_size_ = backlog_.size();
    sent_of_front_ = 0;
  }
  return true;
}

absl::StatusOr<std::optional<FrameBuffer>> ShmLink::Receive() {
  while (HasArrived()) {
    RingConsumer::Record record;
    std::unique_ptr<Lease> lease;
    FrameBuffer complete;
    {
      absl::MutexLock lock(&in_mutex_);
      ASSIGN_OR_RETURN(const std::optional<RingConsumer::Record> taken, in_.Take());
      if (!taken.has_value()) {
        return std::nullopt;  // another thread took it
      }
      record = *taken;
      taken_.store(record.position + record.header.record_bytes(), std::memory_order_release);
      if (record.header.kind == RecordKind::kWhole) {
        lease = TakeOrMake(idle_leases_);
      } else if (record.header.kind == RecordKind::kPart) {
        RETURN_IF_ERROR(Append(record));
        if (received_ == partial_.size()) {
          complete = std::exchange(partial_, FrameBuffer());
          received_ = 0;
        }
      }
    }
    if (lease != nullptr) {
      return Lease::Begin(std::move(lease), shared_from_this(), record);
    }
    Release(record.position, nullptr);
    if (complete.size() > 0) {
      return complete;
    }
  }
  return std::nullopt;
}

absl::Status ShmLink::Append(const RingConsumer::Record& record) {
  if (received_ == 0) {
    if (record.header.message_bytes == 0 || record.header.message_bytes > max_message_bytes_) {
      return absl::DataLossError(absl::StrCat("shared-memory ring: a frame of ", record.header.message_bytes,
                                              " bytes, at most ", max_message_bytes_, " are allowed"));
    }
    // What follows the lead is to lie on a 64-byte border, as in a record.
    const FrameBuffer record_like(sizeof(RecordHeader) + record.header.message_bytes);
    partial_ = record_like.Part(sizeof(RecordHeader), record.header.message_bytes);
  }
  const uint64_t bytes = record.header.body_bytes;
  if (record.header.message_bytes != partial_.size() || bytes == 0 || bytes > partial_.size() - received_) {
    return absl::DataLossError("shared-memory ring: pieces do not add up to a frame");
  }
  std::memcpy(partial_.mutable_bytes().data() + received_, record.body, bytes);
  received_ += bytes;
  return absl::OkStatus();
}

void ShmLink::Release(uint64_t position, std::unique_ptr<Lease> lease) {
  bool producer_waits;
  {
    absl::MutexLock lock(&in_mutex_);
    producer_waits = in_.Release(position);
    if (lease != nullptr) {
      idle_leases_.push_back(std::move(lease));
    }
  }
  if (producer_waits) {
    peer_.Ring();
  }
}

size_t ShmLink::backlog() const { return backlog_size_; }

}  // namespace tandem::transport
