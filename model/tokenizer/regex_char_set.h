// Sets of characters while a regex is translated for PCRE2: what stands between brackets, and what cannot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem::model::tokenizer {

// A set of characters: `items` can stand between brackets, each of `others` is an expression for one character.
struct CharSet {
  std::string items;
  std::vector<std::string> others;
  bool negated = false;
};

// An expression that matches one character of the set.
std::string ToExpression(const CharSet& set);

// Items for brackets: one character; Oniguruma's \s; its \w; \p{name} plus the younger characters of that category or
// script, which PCRE2's Unicode version lacks.
std::string CodePointItem(uint32_t code_point);
absl::string_view SpaceItems();
std::string WordItems();
std::string PropertyItems(absl::string_view name);

}  // namespace tandem::model::tokenizer
