#include "model/tokenizer/bpe_model.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <functional>

#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

// Up to this many symbols, scanning an array for the best merge beats a heap.
constexpr size_t kShortWordSymbols = 48;
constexpr absl::string_view kWordMark = "\xE2\x96\x81";  // U+2581

}  // namespace

std::optional<int32_t> BpeModel::TokenToId(absl::string_view token) const {
  const auto it = vocab_.find(token);
  return it == vocab_.end() ? std::nullopt : std::optional<int32_t>(it->second);
}

absl::string_view BpeModel::IdToToken(int32_t id) const {
  return id >= 0 && id < id_limit() ? absl::string_view(tokens_[id]) : absl::string_view();
}

void BpeModel::SetControlTokens(absl::Span<const int32_t> ids) {
  for (const int32_t id : ids) {
    if (!Has(id)) continue;
    if (is_control_.size() <= static_cast<size_t>(id)) is_control_.resize(id + 1);
    is_control_[id] = true;
    can_reach_control_ = can_reach_control_ || ignore_merges_ || is_merged_[id];
  }
}

MergeTable::Merge BpeModel::FindMerge(int32_t left, int32_t right, bool avoid_control) const {
  const MergeTable::Merge merge = merge_table_.Find(left, right);
  const bool is_avoided = avoid_control && merge != MergeTable::kNone && IsControl(MergeTable::MergedId(merge));
  return is_avoided ? MergeTable::kNone : merge;
}

void BpeModel::EncodeWord(absl::string_view word, bool avoid_control, Scratch* scratch,
                          std::vector<int32_t>* out) const {
  scratch->avoid_control = avoid_control && can_reach_control_;
  EncodeCached(word, scratch, out);
}

void BpeModel::EncodeCached(absl::string_view word, Scratch* scratch, std::vector<int32_t>* out) const {
  if (!WordCache::CanHold(word) || scratch->avoid_control) {
    EncodeUncached(word, scratch, out);
    return;
  }
  const uint64_t hash = XXH3_64bits(word.data(), word.size());
  if (scratch->cache.Find(word, hash, out)) return;
  const size_t before = out->size();
  EncodeUncached(word, scratch, out);
  scratch->cache.Insert(word, hash, absl::MakeConstSpan(*out).subspan(before));
}

void BpeModel::EncodeUncached(absl::string_view word, Scratch* scratch, std::vector<int32_t>* out) const {
  if (ignore_merges_) {
    absl::string_view token = word;
    if (byte_level_) {
      scratch->alphabet_word.clear();
      AppendInByteAlphabet(word, &scratch->alphabet_word);
      token = scratch->alphabet_word;
    }
    const std::optional<int32_t> id = TokenToId(token);
    if (id && !(scratch->avoid_control && IsControl(*id))) {
      out->push_back(*id);
      return;
    }
  }
  if (!cut_at_word_mark_) {
    EncodePart(word, scratch, out);
    return;
  }
  // A text without pre-tokenizer is one long word. No merge crosses into a word mark, so its parts are independent.
  size_t begin = 0;
  for (size_t end = 0; begin < word.size(); begin = end) {
    end = begin;
    while (word.substr(end, kWordMark.size()) == kWordMark) end += kWordMark.size();
    end = std::min(word.find(kWordMark, end), word.size());
    const absl::string_view part = word.substr(begin, end - begin);
    if (part.size() == word.size()) {
      EncodePart(part, scratch, out);
    } else {
      EncodeCached(part, scratch, out);
    }
  }
}

void BpeModel::EncodePart(absl::string_view part, Scratch* scratch, std::vector<int32_t>* out) const {
  std::vector<int32_t>& ids = scratch->ids;
  ids.clear();
  PushSymbols(part, &ids);
  if (ids.size() > kShortWordSymbols) {
    MergeLong(scratch);
  } else if (ids.size() > 1) {
    MergeShort(scratch);
  }
  out->insert(out->end(), ids.begin(), ids.end());
}

int32_t BpeModel::CharacterId(absl::string_view character, uint32_t code_point) const {
  if (code_point < low_character_ids_.size()) return low_character_ids_[code_point];
  return TokenToId(character).value_or(kUnknown);
}

void BpeModel::PushSymbols(absl::string_view part, std::vector<int32_t>* ids) const {
  if (byte_level_ && all_bytes_known_) {
    for (const char byte : part) {
      ids->push_back(byte_starts_[static_cast<unsigned char>(byte)].id);
    }
    return;
  }
  // An unknown token waits here, because the next unknown character may join it. Byte tokens do not release it: the
  // peer emits it behind them.
  bool unknown_waits = false;
  const auto push = [&](int32_t id, absl::Span<const int32_t> fallback) {
    if (id != kUnknown) {
      if (unknown_waits) ids->push_back(unk_id_);
      unknown_waits = false;
      ids->push_back(id);
    } else if (!fallback.empty()) {
      ids->insert(ids->end(), fallback.begin(), fallback.end());
    } else if (unk_id_ != kUnknown) {
      if (unknown_waits && !fuse_unk_) ids->push_back(unk_id_);
      unknown_waits = true;
    }
  };
  size_t pos = 0;
  while (pos < part.size()) {
    if (byte_level_) {
      const Start& start = byte_starts_[static_cast<unsigned char>(part[pos++])];
      push(start.id, start.fallback);
      continue;
    }
    const size_t begin = pos;
    const uint32_t code_point = NextCodePoint(part, &pos);
    const absl::string_view character = part.substr(begin, pos - begin);
    const int32_t id = CharacterId(character, code_point);
    if (id != kUnknown || !byte_fallback_) {
      push(id, {});
    } else {
      push(kUnknown, StartOf(character).fallback);
    }
  }
  if (unknown_waits) ids->push_back(unk_id_);
}

void BpeModel::MergeShort(Scratch* scratch) const {
  std::vector<int32_t>& ids = scratch->ids;
  std::array<MergeTable::Merge, kShortWordSymbols> merges;
  const bool avoid_control = scratch->avoid_control;
  size_t count = ids.size();
  for (size_t i = 0; i + 1 < count; ++i) {
    merges[i] = FindMerge(ids[i], ids[i + 1], avoid_control);
  }
  while (count > 1) {
    // Equal ranks mean equal merges; the first minimum is the leftmost one.
    const size_t best = std::min_element(merges.begin(), merges.begin() + (count - 1)) - merges.begin();
    if (merges[best] == MergeTable::kNone) break;
    ids[best] = MergeTable::MergedId(merges[best]);
    std::copy(ids.begin() + best + 2, ids.begin() + count, ids.begin() + best + 1);
    std::copy(merges.begin() + best + 1, merges.begin() + (count - 1), merges.begin() + best);
    --count;
    if (best > 0) merges[best - 1] = FindMerge(ids[best - 1], ids[best], avoid_control);
    if (best + 1 < count) merges[best] = FindMerge(ids[best], ids[best + 1], avoid_control);
  }
  ids.resize(count);
}

void BpeModel::MergeLong(Scratch* scratch) const {
  std::vector<int32_t>& ids = scratch->ids;
  std::vector<MergeTable::Merge>& merges = scratch->merges;
  std::vector<int32_t>& previous = scratch->previous;
  std::vector<int32_t>& next = scratch->next;
  std::vector<uint64_t>& heap = scratch->heap;
  const bool avoid_control = scratch->avoid_control;
  const int32_t count = static_cast<int32_t>(ids.size());
  merges.assign(count, MergeTable::kNone);
  previous.resize(count);
  next.resize(count);
  heap.clear();
  // Heap entries order by rank, then position: the leftmost of equal merges comes first.
  const auto entry = [&](int32_t i) { return uint64_t{MergeTable::Rank(merges[i])} << 32 | static_cast<uint32_t>(i); };
  for (int32_t i = 0; i < count; ++i) {
    previous[i] = i - 1;
    next[i] = i + 1;
    if (i + 1 < count) merges[i] = FindMerge(ids[i], ids[i + 1], avoid_control);
    if (merges[i] != MergeTable::kNone) heap.push_back(entry(i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto update = [&](int32_t i) {
    merges[i] = next[i] < count ? FindMerge(ids[i], ids[next[i]], avoid_control) : MergeTable::kNone;
    if (merges[i] == MergeTable::kNone) return;
    heap.push_back(entry(i));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t top = heap.back();
    heap.pop_back();
    const int32_t i = static_cast<int32_t>(top & 0xFFFFFFFF);
    if (merges[i] == MergeTable::kNone || entry(i) != top) continue;  // the pair has changed since
    const int32_t right = next[i];
    ids[i] = MergeTable::MergedId(merges[i]);
    ids[right] = kUnknown;
    merges[right] = MergeTable::kNone;
    next[i] = next[right];
    if (next[i] < count) previous[next[i]] = i;
    update(i);
    if (previous[i] >= 0) update(previous[i]);
  }
  std::erase(ids, kUnknown);
}

}  // namespace tandem::model::tokenizer
