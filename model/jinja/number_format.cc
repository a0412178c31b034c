// Numbers and padding, shared by both formatters of printf_format.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "model/jinja/error.h"
#include "model/jinja/printf_format.h"
#include "model/jinja/representation.h"
#include "model/jinja/text_operations.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

constexpr int64_t kMaxPrecision = 1000;

std::string Digits(uint64_t magnitude, unsigned base, bool upper) {
  std::string digits;
  do {
    digits.push_back("0123456789abcdef"[magnitude % base]);
    magnitude /= base;
  } while (magnitude != 0);
  std::reverse(digits.begin(), digits.end());
  return upper ? utf8::Upper(digits) : digits;
}

std::string FloatDigits(double magnitude, const FieldStyle& style) {
  if (style.type == 0 && style.precision < 0) {
    return FormatFloat(magnitude);
  }
  if (style.precision > kMaxPrecision) {
    FailLimit("format precision ", style.precision, " is above ", kMaxPrecision);
  }
  const bool percent = style.type == '%';
  const char type = percent ? 'f' : style.type == 0 || style.type == 'n' ? 'g' : style.type;
  const std::array<char, 6> format = {'%', '.', '*', type, 0, 0};
  const std::array<char, 7> alternate = {'%', '#', '.', '*', type, 0, 0};
  std::string out(static_cast<size_t>(kMaxPrecision) + 400, '\0');
  const int precision = static_cast<int>(style.precision < 0 ? 6 : style.precision);
  const int length = std::snprintf(out.data(), out.size(), style.alternate ? alternate.data() : format.data(),
                                   precision, percent ? magnitude * 100 : magnitude);
  out.resize(static_cast<size_t>(length));
  if (style.type == 0 && out.find_first_of(".en") == std::string::npos) {
    out += ".0";
  }
  return percent ? out + "%" : out;
}

void GroupThousands(std::string* digits) {
  const size_t whole = std::min(digits->find_first_not_of("0123456789"), digits->size());
  for (size_t pos = whole; pos > 3; pos -= 3) {
    digits->insert(pos - 3, 1, ',');
  }
}

std::string Body(const Value& value, const FieldStyle& style) {
  switch (style.type) {
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case '%':
      return FloatDigits(std::abs(value.number()), style);
    default:
      break;
  }
  if (value.IsFloat()) {
    if (style.type != 0 && style.type != 'n') {
      Fail("Unknown format code '", std::string(1, style.type), "' for object of type 'float'");
    }
    return FloatDigits(std::abs(value.number()), style);
  }
  const int64_t number = value.integral();
  const uint64_t magnitude = number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  const std::string prefix = style.alternate ? std::string("0") + style.type : std::string();
  switch (style.type) {
    case 0:
    case 'd':
    case 'n':
      return Digits(magnitude, 10, false);
    case 'x':
    case 'X':
      return prefix + Digits(magnitude, 16, style.type == 'X');
    case 'o':
      return prefix + Digits(magnitude, 8, false);
    case 'b':
      return prefix + Digits(magnitude, 2, false);
    default:
      Fail("Unknown format code '", std::string(1, style.type), "' for object of type 'int'");
  }
}

}  // namespace

std::string FormatNumber(const Value& value, const FieldStyle& style) {
  std::string digits = Body(value, style);
  if (style.thousands) {
    GroupThousands(&digits);
  }
  const bool negative = value.IsFloat() ? std::signbit(value.number()) : value.integral() < 0;
  std::string sign = negative ? "-" : style.sign == '-' ? "" : std::string(1, style.sign);
  if (style.align == '=') {
    const size_t prefix = style.alternate && digits.size() > 1 && absl::string_view("xXob").find(digits[1]) < 4 ? 2 : 0;
    sign += digits.substr(0, prefix);
    digits.erase(0, prefix);
    const auto width = static_cast<size_t>(std::clamp<int64_t>(style.width, 0, kMaxPrecision));
    while (sign.size() + digits.size() < width) {
      digits.insert(0, style.fill);
    }
  }
  return sign + digits;
}

Text PadText(Runtime& runtime, const Text& text, const FieldStyle& style, char align) {
  const auto length = static_cast<int64_t>(utf8::Length(text.view()));
  if (style.width <= length) {
    return text;
  }
  const auto padding = static_cast<size_t>(style.width - length);
  const char side = style.align == 0 ? align : style.align;
  const size_t left = side == '<' ? 0 : side == '^' ? padding / 2 : padding;
  const Text fill(style.fill);
  Text out = RepeatText(runtime, fill, left);
  out.Append(text);
  out.Append(RepeatText(runtime, fill, padding - left));
  return out;
}

}  // namespace tandem::jinja
