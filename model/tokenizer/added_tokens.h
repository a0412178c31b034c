// Tokens found in the text before it is normalized and pre-tokenized: control tokens such as <|im_end|>, and words
// added to a vocabulary. The rules (leftmost match, longest first; lstrip, rstrip, single_word) are Hugging Face's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::model::tokenizer {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;
  bool lstrip = false;       // also takes the white space before it
  bool rstrip = false;       // also takes the white space behind it
  bool single_word = false;  // not next to a word character
  bool normalized = false;   // looked for in the normalized text

  // True for tokens that steer the model and must not come from a user: special ones, and those written <|...|> or
  // <｜...｜>, since several model families publish their turn markers without the special flag.
  bool IsControl() const;
};

// Finds a set of added tokens in a text. Immutable and thread-safe once built.
class AddedTokenMatcher {
 public:
  // A part of the text: an added token, or plain text if `id` is empty. Never empty itself.
  struct Part {
    size_t begin;
    size_t end;
    std::optional<int32_t> id;
  };
  // Whether `token` may be recognised in bytes [begin, end) of the text.
  using IsAllowed = absl::FunctionRef<bool(const AddedToken& token, size_t begin, size_t end)>;

  // `pattern` is the text to look for: the token's content, or its normalized form. Errors: INVALID_ARGUMENT if the
  // pattern is empty or taken.
  absl::Status Add(const AddedToken& token, absl::string_view pattern);

  bool empty() const { return tokens_.empty(); }

  // Cuts valid UTF-8 into parts, in order.
  std::vector<Part> Split(absl::string_view text, IsAllowed is_allowed) const;

 private:
  struct Match {
    size_t begin;
    size_t end;
    const AddedToken* token;
  };
  static constexpr int32_t kNoToken = -1;

  std::optional<Match> FindNext(absl::string_view text, size_t from, IsAllowed is_allowed) const;
  const AddedToken* LongestAt(absl::string_view text, size_t begin, IsAllowed is_allowed, size_t* end) const;

  std::vector<AddedToken> tokens_;
  // A trie over bytes: (node << 8 | byte) -> node. Node 0 is the root.
  absl::flat_hash_map<uint64_t, uint32_t> edges_;
  std::vector<int32_t> token_at_node_ = {kNoToken};
  std::array<bool, 256> starts_token_ = {};
};

}  // namespace tandem::model::tokenizer
