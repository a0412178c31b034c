#include "model/jinja/utf8.h"

#include <utf8proc.h>

namespace tandem::jinja::utf8 {
namespace {

bool IsContinuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

utf8proc_category_t Category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

}  // namespace

CodePoint DecodeAt(absl::string_view text, size_t pos) {
  const auto lead = static_cast<unsigned char>(text[pos]);
  if (lead < 0x80) {
    return {lead, 1};
  }
  utf8proc_int32_t value = 0;
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + pos),
                                       static_cast<utf8proc_ssize_t>(text.size() - pos), &value);
  if (length <= 0) {
    return {kInvalidBase + lead, 1};
  }
  return {static_cast<char32_t>(value), static_cast<size_t>(length)};
}

CodePoint DecodeBefore(absl::string_view text, size_t end) {
  for (size_t back = 1; back <= 4 && back <= end; ++back) {
    if (!IsContinuation(static_cast<unsigned char>(text[end - back]))) {
      const CodePoint found = DecodeAt(text.substr(0, end), end - back);
      if (found.length == back) {
        return found;
      }
      break;
    }
  }
  return {kInvalidBase + static_cast<unsigned char>(text[end - 1]), 1};
}

size_t Length(absl::string_view text) {
  size_t count = 0;
  for (size_t pos = 0; pos < text.size(); pos += DecodeAt(text, pos).length) {
    ++count;
  }
  return count;
}

size_t OffsetOf(absl::string_view text, size_t index) {
  size_t pos = 0;
  for (; index > 0 && pos < text.size(); --index) {
    pos += DecodeAt(text, pos).length;
  }
  return pos;
}

void Append(char32_t code_point, std::string* out) {
  if (code_point < 0x80) {
    out->push_back(static_cast<char>(code_point));
    return;
  }
  if (code_point >= kInvalidBase + 0x80 && code_point <= kInvalidBase + 0xFF) {
    out->push_back(static_cast<char>(code_point - kInvalidBase));
    return;
  }
  utf8proc_uint8_t bytes[4];
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes);
  out->append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsLineBreak(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool IsAlpha(char32_t c) {
  const auto category = Category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsDecimal(char32_t c) { return Category(c) == UTF8PROC_CATEGORY_ND; }

bool IsNumeric(char32_t c) {
  const auto category = Category(c);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool IsUpper(char32_t c) { return Category(c) == UTF8PROC_CATEGORY_LU; }

bool IsLower(char32_t c) { return Category(c) == UTF8PROC_CATEGORY_LL; }

bool IsPrintable(char32_t c) {
  if (c < 0x7F) {
    return c >= 0x20;
  }
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

std::string Upper(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeAt(text, pos);
    if (c.value == U'ß') {
      out += "SS";
    } else {
      Append(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c.value))), &out);
    }
    pos += c.length;
  }
  return out;
}

std::string Lower(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeAt(text, pos);
    Append(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))), &out);
    pos += c.length;
  }
  return out;
}

absl::string_view StripRight(absl::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const CodePoint c = DecodeBefore(text, end);
    if (!IsSpace(c.value)) {
      break;
    }
    end -= c.length;
  }
  return text.substr(0, end);
}

}  // namespace tandem::jinja::utf8
