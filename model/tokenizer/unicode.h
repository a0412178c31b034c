// UTF-8 and the character classes used by Hugging Face pre-tokenizers. Functions are pure and thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem::model::tokenizer {

// The entry of a table sorted by code points that holds `code_point`, or null. Entries have `first` and `last`.
template <typename Range>
const Range* FindRange(absl::Span<const Range> ranges, uint32_t code_point) {
  const auto it = std::partition_point(ranges.begin(), ranges.end(),
                                       [code_point](const Range& range) { return range.last < code_point; });
  return it != ranges.end() && it->first <= code_point ? &*it : nullptr;
}

inline constexpr absl::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

bool IsValidUtf8(absl::string_view text);

// Replaces every maximal ill-formed part by U+FFFD, as Rust's from_utf8_lossy and Python's errors="replace" do.
std::string ReplaceInvalidUtf8(absl::string_view bytes);

// Bytes of the character that starts with `lead`. Precondition: `lead` starts a valid character.
inline size_t Utf8Length(unsigned char lead) { return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

// The code point at text[*pos], moving *pos behind it. Precondition: valid UTF-8, *pos at a character border.
uint32_t NextCodePoint(absl::string_view text, size_t* pos);

// Start of the character that ends at text[pos - 1]. Precondition: valid UTF-8, pos > 0.
size_t PreviousCharacter(absl::string_view text, size_t pos);

void AppendUtf8(uint32_t code_point, std::string* out);

// White_Space, as in Rust's char::is_whitespace and Oniguruma's \s.
bool IsWhiteSpace(uint32_t code_point);
// Nd, Nl or No, as in Rust's char::is_numeric.
bool IsNumeric(uint32_t code_point);
// ASCII punctuation or category P as of Unicode 8, the Punctuation pre-tokenizer's notion.
bool IsPunctuation(uint32_t code_point);
// \w of Rust's regex crate: Alphabetic, M, Nd, Pc and the joiners.
bool IsWordCharacter(uint32_t code_point);

// Appends the lower case of a character, without regard to context, as Rust's char::to_lowercase.
void AppendLowercase(uint32_t code_point, std::string* out);

// Turns a byte stream into well-formed UTF-8, holding back the bytes of an unfinished character. Not thread-safe.
class LossyUtf8Stream {
 public:
  // Appends to `out` all text that is decided by now.
  void Push(absl::string_view bytes, std::string* out);
  // Ends the stream: an unfinished character becomes U+FFFD.
  void Finish(std::string* out);

 private:
  std::string pending_;
};

}  // namespace tandem::model::tokenizer
