// Remembers the ids of short words. Bounded: a fixed number of slots of one cache line each, newer words replace older
// ones. Not thread-safe; a tokenizer lends one cache to each running Encode.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem::model::tokenizer {

class WordCache {
 public:
  static constexpr size_t kMaxWordBytes = 22;
  static constexpr size_t kMaxIds = 8;

  WordCache() : entries_(kEntries) {}

  static bool CanHold(absl::string_view word) { return word.size() - 1 < kMaxWordBytes; }

  // Appends the ids of `word` to `out` and returns true, or returns false. Precondition: CanHold(word).
  bool Find(absl::string_view word, uint64_t hash, std::vector<int32_t>* out) const {
    const Entry& entry = entries_[hash % kEntries];
    if (entry.hash != hash || entry.word_size != word.size() ||
        std::memcmp(entry.word, word.data(), word.size()) != 0) {
      return false;
    }
    out->insert(out->end(), entry.ids, entry.ids + entry.id_count);
    return true;
  }

  // Keeps the ids unless there are too many. Precondition: CanHold(word).
  void Insert(absl::string_view word, uint64_t hash, absl::Span<const int32_t> ids) {
    if (ids.size() > kMaxIds) return;
    Entry& entry = entries_[hash % kEntries];
    entry.hash = hash;
    entry.word_size = static_cast<uint8_t>(word.size());
    entry.id_count = static_cast<uint8_t>(ids.size());
    std::memcpy(entry.word, word.data(), word.size());
    std::memcpy(entry.ids, ids.data(), ids.size() * sizeof(int32_t));
  }

 private:
  static constexpr size_t kEntries = 1 << 15;  // 2 MiB
  struct alignas(64) Entry {
    uint64_t hash = 0;
    uint8_t word_size = 0;
    uint8_t id_count = 0;
    char word[kMaxWordBytes];
    int32_t ids[kMaxIds];
  };
  static_assert(sizeof(Entry) == 64);

  std::vector<Entry> entries_;
};

}  // namespace tandem::model::tokenizer
