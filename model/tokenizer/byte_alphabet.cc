#include "model/tokenizer/byte_alphabet.h"

#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

constexpr uint32_t kFirstSubstitute = 0x100;
constexpr uint32_t kEndOfAlphabet = 0x144;  // 68 bytes have no printable Latin-1 character of their own

bool StandsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Tables {
  std::array<std::string, 256> characters;
  std::array<int16_t, kEndOfAlphabet> bytes;  // by code point, -1 where it is no stand-in

  Tables() {
    bytes.fill(-1);
    uint32_t substitute = kFirstSubstitute;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t code_point = StandsForItself(byte) ? byte : substitute++;
      bytes[code_point] = static_cast<int16_t>(byte);
      AppendUtf8(code_point, &characters[byte]);
    }
  }
};

const Tables& TheTables() {
  static const Tables& tables = *new Tables;
  return tables;
}

}  // namespace

const std::array<std::string, 256>& ByteAlphabet() { return TheTables().characters; }

void AppendInByteAlphabet(absl::string_view bytes, std::string* out) {
  const std::array<std::string, 256>& characters = ByteAlphabet();
  for (const char byte : bytes) {
    *out += characters[static_cast<unsigned char>(byte)];
  }
}

std::optional<std::string> BytesFromAlphabet(absl::string_view token) {
  const Tables& tables = TheTables();
  std::string bytes;
  size_t pos = 0;
  while (pos < token.size()) {
    const uint32_t code_point = NextCodePoint(token, &pos);
    if (code_point >= kEndOfAlphabet || tables.bytes[code_point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(tables.bytes[code_point]));
  }
  return bytes;
}

}  // namespace tandem::model::tokenizer
