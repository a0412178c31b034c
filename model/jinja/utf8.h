// Python strings are sequences of code points, ours are UTF-8 bytes: these helpers translate positions and classify
// code points. A byte that is not valid UTF-8 counts as one code point of its own (kInvalidBase + byte) and survives
// unchanged.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace tandem::jinja::utf8 {

inline constexpr char32_t kInvalidBase = 0xDC00;

struct CodePoint {
  char32_t value;
  size_t length;  // bytes
};

// The code point that starts at byte `pos` (pos < text.size()), or ends just before byte `end` (end > 0).
CodePoint DecodeAt(absl::string_view text, size_t pos);
CodePoint DecodeBefore(absl::string_view text, size_t end);

// Number of code points, and the byte offset of code point `index` (text.size() when past the end).
size_t Length(absl::string_view text);
size_t OffsetOf(absl::string_view text, size_t index);

void Append(char32_t code_point, std::string* out);

// Unicode classes as Python's str methods define them. Case mapping is one code point to one code point (plus ß → SS).
bool IsSpace(char32_t c);
bool IsLineBreak(char32_t c);
bool IsAlpha(char32_t c);
bool IsDecimal(char32_t c);
bool IsNumeric(char32_t c);
bool IsUpper(char32_t c);
bool IsLower(char32_t c);
bool IsPrintable(char32_t c);
std::string Upper(absl::string_view text);
std::string Lower(absl::string_view text);

// `text` without the white space at its end.
absl::string_view StripRight(absl::string_view text);

}  // namespace tandem::jinja::utf8
