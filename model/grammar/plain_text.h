// Plain characters: those that stand for themselves in a JSON string and in most texts. Where a grammar allows any of
// them, which is in strings, masks need not look at the tokens made of them one by one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace tandem::grammar {

// A range of sequences of bytes: one range per byte.
struct Utf8Sequence {
  int length = 0;
  std::array<std::array<uint8_t, 2>, 4> bytes = {};
};

// All plain characters: valid UTF-8 from U+0020 on, without '"' and '\'.
inline constexpr std::array<Utf8Sequence, 11> kPlainCharacters = {{
    {1, {{{0x20, 0x21}}}},
    {1, {{{0x23, 0x5B}}}},
    {1, {{{0x5D, 0x7F}}}},
    {2, {{{0xC2, 0xDF}, {0x80, 0xBF}}}},
    {3, {{{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}}}},
    {3, {{{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}}}},
    {3, {{{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}}}},
    {3, {{{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}}}},
    {4, {{{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}}},
    {4, {{{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}}},
    {4, {{{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}}}},
}};

// The number of characters, or nullopt when `text` is not whole plain characters.
std::optional<size_t> CountPlainCharacters(absl::string_view text);

}  // namespace tandem::grammar
