#include "model/grammar/token_table.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/grammar/grammar.h"
#include "model/grammar/plain_text.h"

namespace tandem::grammar {
namespace {

constexpr char kSpecialMark = '\xFF';

// `sorted`: ids by their bytes.
TokenTrie BuildTrie(const std::vector<std::string>& bytes, const std::vector<int32_t>& sorted) {
  TokenTrie trie;
  std::vector<uint32_t> path;  // the open nodes
  absl::string_view previous;
  for (const int32_t id : sorted) {
    const absl::string_view text = bytes[id];
    size_t shared = 0;
    while (shared < previous.size() && shared < text.size() && previous[shared] == text[shared]) ++shared;
    const auto node_count = [&] { return static_cast<uint32_t>(trie.bytes.size()); };
    for (; path.size() > shared; path.pop_back()) trie.ends[path.back()] = node_count();
    for (size_t depth = shared; depth < text.size(); ++depth) {
      path.push_back(node_count());
      trie.bytes.push_back(static_cast<uint8_t>(text[depth]));
      trie.depths.push_back(static_cast<uint8_t>(depth));
      trie.ends.push_back(0);
      trie.first_tokens.push_back(static_cast<uint32_t>(trie.tokens.size()));
    }
    trie.tokens.push_back(id);
    previous = text;
  }
  for (; !path.empty(); path.pop_back()) trie.ends[path.back()] = static_cast<uint32_t>(trie.bytes.size());
  trie.first_tokens.push_back(static_cast<uint32_t>(trie.tokens.size()));
  return trie;
}

}  // namespace

std::string TokenTable::SpecialTokenBytes(absl::string_view content) {
  return absl::StrCat(absl::string_view(&kSpecialMark, 1), content, absl::string_view(&kSpecialMark, 1));
}

TokenTable::TokenTable(std::vector<std::string> token_bytes) : bytes_(std::move(token_bytes)) {
  std::vector<int32_t> sorted;
  std::vector<size_t> plain(bytes_.size(), std::numeric_limits<size_t>::max());  // characters
  for (size_t id = 0; id < bytes_.size(); ++id) {
    std::string& text = bytes_[id];
    const bool is_special = text.size() > 1 && text.front() == kSpecialMark && text.back() == kSpecialMark;
    const bool is_broken = !is_special && text.find(kSpecialMark) != std::string::npos;
    if (is_broken || text.size() > kMaxTokenBytes) text.clear();
    if (text.empty()) continue;
    sorted.push_back(static_cast<int32_t>(id));
    if (const auto characters = CountPlainCharacters(text)) plain[id] = *characters;
  }
  std::sort(sorted.begin(), sorted.end(), [&](int32_t a, int32_t b) {
    const int order = bytes_[a].compare(bytes_[b]);
    return order != 0 ? order < 0 : a < b;
  });
  all_ = BuildTrie(bytes_, sorted);
  for (const size_t max_characters : {size_t{4}, size_t{Grammar::kMaxPlainRun}, kMaxTokenBytes}) {
    Slice slice{max_characters, std::vector<uint64_t>(mask_words()), {}};
    std::vector<int32_t> rest;
    for (const int32_t id : sorted) {
      if (plain[id] <= max_characters) {
        slice.mask[id / 64] |= uint64_t{1} << (id % 64);
      } else {
        rest.push_back(id);
      }
    }
    slice.rest = BuildTrie(bytes_, rest);
    slices_.push_back(std::move(slice));
  }
}

absl::string_view TokenTable::BytesOf(int32_t token) const {
  const bool exists = token >= 0 && static_cast<size_t>(token) < bytes_.size();
  return exists ? absl::string_view(bytes_[token]) : absl::string_view();
}

const TokenTable::Slice* TokenTable::SliceFor(size_t plain_run) const {
  const Slice* best = nullptr;
  for (const Slice& slice : slices_) {
    if (slice.max_characters <= plain_run) best = &slice;
  }
  return best;
}

}  // namespace tandem::grammar
