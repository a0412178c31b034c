#include "model/grammar/code_points.h"

#include <algorithm>

namespace tandem::grammar {
namespace {

constexpr CodePointRange kSurrogates = {0xD800, 0xDFFF};

// Splits a range until the bytes of its code points are a product of byte ranges: until, from some byte on, it covers
// everything. Both ends have the same number of bytes.
void AddSequences(uint32_t first, uint32_t last, std::vector<Expression>& out) {
  const std::string low = EncodeUtf8(first);
  const std::string high = EncodeUtf8(last);
  for (size_t tail = low.size() - 1; tail > 0; --tail) {
    const uint32_t span = (uint32_t{1} << (6 * tail)) - 1;  // of the last `tail` bytes
    if ((first & ~span) == (last & ~span)) continue;
    if ((first & span) != 0) {
      AddSequences(first, first | span, out);
      AddSequences((first | span) + 1, last, out);
      return;
    }
    if ((last & span) != span) {
      AddSequences(first, (last & ~span) - 1, out);
      AddSequences(last & ~span, last, out);
      return;
    }
  }
  std::vector<Expression> bytes;
  for (size_t i = 0; i < low.size(); ++i) {
    bytes.push_back(Expression::Bytes(static_cast<uint8_t>(low[i]), static_cast<uint8_t>(high[i])));
  }
  out.push_back(Expression::Sequence(std::move(bytes)));
}

}  // namespace

CodePoints Normalize(CodePoints set) {
  std::sort(set.begin(), set.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  CodePoints joined;
  for (const CodePointRange& range : set) {
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  CodePoints result;
  for (const CodePointRange& range : joined) {
    if (range.first < kSurrogates.first) {
      result.push_back({range.first, std::min(range.last, kSurrogates.first - 1)});
    }
    if (range.last > kSurrogates.last) {
      result.push_back({std::max(range.first, kSurrogates.last + 1), std::min(range.last, kMaxCodePoint)});
    }
  }
  return result;
}

CodePoints Complement(CodePoints set) {
  CodePoints result;
  uint32_t next = 0;
  for (const CodePointRange& range : Normalize(std::move(set))) {
    if (range.first > next) result.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kMaxCodePoint) result.push_back({next, kMaxCodePoint});
  return Normalize(std::move(result));
}

void AddOtherCases(CodePoints& set) {
  const CodePoints ranges = set;
  for (const CodePointRange& range : ranges) {
    for (uint32_t c = std::max<uint32_t>(range.first, 'A'); c <= std::min<uint32_t>(range.last, 'z'); ++c) {
      const bool is_letter = ('A' <= c && c <= 'Z') || ('a' <= c && c <= 'z');
      if (is_letter) set.push_back({c ^ 0x20, c ^ 0x20});
    }
  }
}

Expression Utf8(const CodePoints& set) {
  constexpr uint32_t kLengthEnds[] = {0x7F, 0x7FF, 0xFFFF, kMaxCodePoint};
  std::vector<Expression> sequences;
  for (const CodePointRange& range : Normalize(set)) {
    uint32_t first = range.first;
    for (const uint32_t end : kLengthEnds) {
      if (first > end || first > range.last) continue;
      AddSequences(first, std::min(end, range.last), sequences);
      first = end + 1;
    }
  }
  return Expression::OneOf(std::move(sequences));
}

std::optional<uint32_t> TakeCodePoint(absl::string_view& text) {
  if (text.empty()) return std::nullopt;
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (lead >= 0xF8 || (lead >= 0x80 && lead < 0xC2) || text.size() < length) return std::nullopt;
  uint32_t value = length == 1 ? lead : lead & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xC0) != 0x80) return std::nullopt;
    value = value << 6 | (byte & 0x3F);
  }
  const bool is_surrogate = kSurrogates.first <= value && value <= kSurrogates.last;
  if (is_surrogate || value > kMaxCodePoint || EncodeUtf8(value).size() != length) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

std::string EncodeUtf8(uint32_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

}  // namespace tandem::grammar
