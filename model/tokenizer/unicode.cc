#include "model/tokenizer/unicode.h"

#include <simdjson.h>
#include <utf8proc.h>

#include "model/tokenizer/unicode_tables.h"

namespace tandem::model::tokenizer {
namespace {

// Two-letter general category.
absl::string_view Category(uint32_t code_point) {
  if (const CategoryRange* range = FindRange(AssignedSinceUnicode15(), code_point)) {
    return range->category;
  }
  return utf8proc_category_string(static_cast<utf8proc_int32_t>(code_point));
}

bool IsAsciiPunctuation(uint32_t c) {
  return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
}

// Circled and squared letters are Alphabetic although their category is So.
bool IsEnclosedLetter(uint32_t c) {
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

// What the bytes at the front of `bytes` are: `size` bytes that form a character, are ill-formed, or may still become a
// character when more bytes follow.
struct Utf8Prefix {
  enum Kind { kCharacter, kIllFormed, kUnfinished } kind;
  size_t size;
};

Utf8Prefix ClassifyPrefix(absl::string_view bytes) {
  const auto byte = [bytes](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {Utf8Prefix::kCharacter, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Prefix::kIllFormed, 1};
  const size_t length = Utf8Length(lead);
  // The second byte is restricted after these leads: no overlong forms, no surrogates, nothing above U+10FFFF.
  unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Utf8Prefix::kUnfinished, i};
    if (byte(i) < low || byte(i) > high) return {Utf8Prefix::kIllFormed, i};
    low = 0x80;
    high = 0xBF;
  }
  return {Utf8Prefix::kCharacter, length};
}

}  // namespace

bool IsValidUtf8(absl::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

std::string ReplaceInvalidUtf8(absl::string_view bytes) {
  LossyUtf8Stream stream;
  std::string out;
  stream.Push(bytes, &out);
  stream.Finish(&out);
  return out;
}

uint32_t NextCodePoint(absl::string_view text, size_t* pos) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[*pos + i])); };
  const uint32_t lead = byte(0);
  const size_t length = Utf8Length(static_cast<unsigned char>(lead));
  uint32_t code_point = lead;
  if (length == 2) {
    code_point = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
  } else if (length == 3) {
    code_point = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  } else if (length == 4) {
    code_point = (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  }
  *pos += length;
  return code_point;
}

size_t PreviousCharacter(absl::string_view text, size_t pos) {
  do {
    --pos;
  } while (pos > 0 && (static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80);
  return pos;
}

void AppendUtf8(uint32_t c, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

bool IsWhiteSpace(uint32_t c) {
  return c == ' ' || (c >= 0x09 && c <= 0x0D) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsNumeric(uint32_t c) { return c < 0x80 ? c >= '0' && c <= '9' : Category(c)[0] == 'N'; }

bool IsPunctuation(uint32_t c) {
  if (c < 0x80) return IsAsciiPunctuation(c);
  return Category(c)[0] == 'P' && FindRange(PunctuationSinceUnicode9(), c) == nullptr;
}

bool IsWordCharacter(uint32_t c) {
  const absl::string_view category = Category(c);
  return category[0] == 'L' || category[0] == 'M' || category == "Nd" || category == "Nl" || category == "Pc" ||
         c == 0x200C || c == 0x200D || IsEnclosedLetter(c);
}

void AppendLowercase(uint32_t code_point, std::string* out) {
  constexpr uint32_t kDottedCapitalI = 0x130;  // the one character whose lower case is two
  if (code_point == kDottedCapitalI) {
    out->append("i\xCC\x87");
  } else if (const LowercaseRange* range = FindRange(LowercaseSinceUnicode16(), code_point)) {
    AppendUtf8(range->lower + (code_point - range->first), out);
  } else {
    AppendUtf8(static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))), out);
  }
}

void LossyUtf8Stream::Push(absl::string_view bytes, std::string* out) {
  std::string joined;
  if (!pending_.empty()) {
    joined = pending_;
    joined.append(bytes.data(), bytes.size());
    pending_.clear();
    bytes = joined;
  }
  while (!bytes.empty()) {
    const Utf8Prefix prefix = ClassifyPrefix(bytes);
    if (prefix.kind == Utf8Prefix::kUnfinished) {
      pending_.assign(bytes.data(), bytes.size());
      return;
    }
    const absl::string_view text =
        prefix.kind == Utf8Prefix::kCharacter ? bytes.substr(0, prefix.size) : kReplacementCharacter;
    out->append(text.data(), text.size());
    bytes.remove_prefix(prefix.size);
  }
}

void LossyUtf8Stream::Finish(std::string* out) {
  if (!pending_.empty()) {
    out->append(kReplacementCharacter.data(), kReplacementCharacter.size());
    pending_.clear();
  }
}

}  // namespace tandem::model::tokenizer
