// The merges of a BPE model: (left id, right id) -> (rank, merged id), in one flat array with linear probing, because
// the merge loop does little else than looking up pairs. Thread-safe once filled.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem::model::tokenizer {

class MergeTable {
 public:
  // A merge as one number, ordered by rank: rank << 32 | merged id.
  using Merge = uint64_t;
  static constexpr Merge kNone = ~uint64_t{0};

  static uint32_t Rank(Merge merge) { return static_cast<uint32_t>(merge >> 32); }
  static int32_t MergedId(Merge merge) { return static_cast<int32_t>(merge & 0xFFFFFFFF); }

  MergeTable() : MergeTable(0) {}

  // Room for `count` pairs.
  explicit MergeTable(size_t count)
      : slots_(std::bit_ceil(count * 2 + 2)), shift_(64 - std::countr_zero(slots_.size())) {}

  // A later merge of the same pair replaces the earlier one, as in the peer.
  void Set(int32_t left, int32_t right, uint32_t rank, int32_t merged_id) {
    Slot& slot = slots_[IndexOf(Key(left, right))];
    slot = {Key(left, right), uint64_t{rank} << 32 | static_cast<uint32_t>(merged_id)};
  }

  // kNone if the pair never merges.
  Merge Find(int32_t left, int32_t right) const { return slots_[IndexOf(Key(left, right))].merge; }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};  // ids are not negative, so no pair has this key
  struct Slot {
    uint64_t key = kFree;
    Merge merge = kNone;
  };

  static uint64_t Key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }

  size_t IndexOf(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t index = (key * 0x9E3779B97F4A7C15) >> shift_;
    while (slots_[index].key != key && slots_[index].key != kFree) {
      index = (index + 1) & mask;
    }
    return index;
  }

  std::vector<Slot> slots_;
  int shift_;
};

}  // namespace tandem::model::tokenizer
