// The vocabulary as a grammar sees it: the bytes of every token, sorted into tries.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem::grammar {

// A trie in preorder. The subtree of node i is [i, end[i]); the root itself is left out.
struct TokenTrie {
  std::vector<uint8_t> bytes;
  std::vector<uint8_t> depths;  // of a token's first byte: 0
  std::vector<uint32_t> ends;
  std::vector<uint32_t> first_tokens;  // into `tokens`, one more than there are nodes
  std::vector<int32_t> tokens;
};

// Immutable, thread-safe. Some megabytes for a large vocabulary.
class TokenTable {
 public:
  // Longer tokens (rows of spaces and dashes) never match: their text can be had in pieces, and the shorter tokens are,
  // the fewer places in counted strings differ from each other.
  static constexpr size_t kMaxTokenBytes = 64;

  // The tokens that are plain text (plain_text.h) of so many characters at most, and a trie of all others.
  struct Slice {
    size_t max_characters = 0;
    std::vector<uint64_t> mask;
    TokenTrie rest;
  };

  // `token_bytes[id]`: what the token adds to the middle of a text. Empty ones never match, nor do ones with byte 0xFF,
  // unless made by SpecialTokenBytes.
  explicit TokenTable(std::vector<std::string> token_bytes);

  // The bytes that stand for a special token: no text has them, so only a grammar that asks for this token matches.
  static std::string SpecialTokenBytes(absl::string_view content);

  // Empty for tokens that never match, and ids out of range.
  absl::string_view BytesOf(int32_t token) const;
  size_t vocab_size() const { return bytes_.size(); }
  size_t mask_words() const { return (bytes_.size() + 63) / 64; }

  // The largest slice of texts of up to `plain_run` characters, or null when there is none.
  const Slice* SliceFor(size_t plain_run) const;
  const TokenTrie& all() const { return all_; }

 private:
  std::vector<std::string> bytes_;
  TokenTrie all_;
  std::vector<Slice> slices_;  // ascending max_characters
};

}  // namespace tandem::grammar
