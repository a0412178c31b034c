// Unicode facts that the packaged libraries lack or know in another version than the Hugging Face library, whose
// tokenizers were trained with its own tables. Probed code point by code point from tokenizers 0.23.3.
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace tandem::model::tokenizer {

struct CodePointRange {
  uint32_t first;
  uint32_t last;  // inclusive
};

struct CategoryRange {
  uint32_t first;
  uint32_t last;         // inclusive
  const char* category;  // two letters, for example "Lo"
};

struct LowercaseRange {
  uint32_t first;
  uint32_t last;   // inclusive
  uint32_t lower;  // of `first`; the others follow in order
};

// Code points assigned after Unicode 14, the version of PCRE2 10.42. Sorted by `first`.
absl::Span<const CategoryRange> AssignedSinceUnicode15();

// Punctuation assigned after Unicode 8, which the peer's Punctuation pre-tokenizer does not know. Sorted.
absl::Span<const CodePointRange> PunctuationSinceUnicode9();

// Code points whose normalization data is younger than Unicode 9, the version the peer normalizes with. Sorted.
absl::Span<const CodePointRange> NormalizationSinceUnicode10();

// Capital letters assigned after Unicode 15, the version of utf8proc 2.8. Sorted.
absl::Span<const LowercaseRange> LowercaseSinceUnicode16();

}  // namespace tandem::model::tokenizer
