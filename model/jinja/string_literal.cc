#include "model/jinja/string_literal.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "model/jinja/error.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

// Reads exactly `count` hexadecimal digits at `pos`.
void AppendHexEscape(absl::string_view body, size_t pos, size_t count, std::string* out) {
  char32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    if (pos + i >= body.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(body[pos + i]))) {
      Fail("truncated escape sequence in a string");
    }
    const char digit = absl::ascii_tolower(static_cast<unsigned char>(body[pos + i]));
    value = value * 16 + static_cast<char32_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
  }
  if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
    Fail("illegal Unicode character in a string");
  }
  utf8::Append(value, out);
}

size_t AppendOctalEscape(absl::string_view body, size_t pos, std::string* out) {
  char32_t value = 0;
  size_t end = pos;
  while (end < body.size() && end < pos + 3 && body[end] >= '0' && body[end] <= '7') {
    value = value * 8 + static_cast<char32_t>(body[end++] - '0');
  }
  utf8::Append(value, out);
  return end;
}

// Handles the escape whose letter is at `pos`; returns the position after it.
size_t AppendEscape(absl::string_view body, size_t pos, std::string* out) {
  static constexpr absl::string_view kLetters = "\\'\"abfnrtv";
  static constexpr absl::string_view kValues = "\\'\"\a\b\f\n\r\t\v";
  const char letter = body[pos];
  if (const size_t simple = kLetters.find(letter); simple != absl::string_view::npos) {
    out->push_back(kValues[simple]);
    return pos + 1;
  }
  switch (letter) {
    case '\n':
      return pos + 1;
    case 'x':
      AppendHexEscape(body, pos + 1, 2, out);
      return pos + 3;
    case 'u':
      AppendHexEscape(body, pos + 1, 4, out);
      return pos + 5;
    case 'U':
      AppendHexEscape(body, pos + 1, 8, out);
      return pos + 9;
    case 'N':
      Fail("\\N escapes are not supported; write the character itself");
    default:
      break;
  }
  if (letter >= '0' && letter <= '7') {
    return AppendOctalEscape(body, pos, out);
  }
  out->push_back('\\');
  return pos;
}

}  // namespace

std::string UnescapeString(absl::string_view body) {
  std::string out;
  for (size_t pos = 0; pos < body.size();) {
    const size_t backslash = std::min(body.find('\\', pos), body.size());
    out.append(body.data() + pos, backslash - pos);
    pos = backslash;
    if (pos + 1 < body.size()) {
      pos = AppendEscape(body, pos + 1, &out);
    } else if (pos < body.size()) {
      Fail("a string ends in a backslash");
    }
  }
  return out;
}

}  // namespace tandem::jinja
