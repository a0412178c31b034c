// Sets of Unicode code points and their UTF-8 bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/grammar/expression.h"

namespace tandem::grammar {

struct CodePointRange {
  uint32_t first = 0;
  uint32_t last = 0;  // inclusive
};

using CodePoints = std::vector<CodePointRange>;

constexpr uint32_t kMaxCodePoint = 0x10FFFF;

// Ascending, disjoint, without surrogates.
CodePoints Normalize(CodePoints set);
// All code points that are not in `set`.
CodePoints Complement(CodePoints set);
// Both cases of every ASCII letter that is in the set.
void AddOtherCases(CodePoints& set);

// The UTF-8 bytes of any code point of the set.
Expression Utf8(const CodePoints& set);

// Takes the code point at the front of `text`; nullopt when that is not valid UTF-8.
std::optional<uint32_t> TakeCodePoint(absl::string_view& text);

std::string EncodeUtf8(uint32_t code_point);

}  // namespace tandem::grammar
