#include "model/grammar/plain_text.h"

namespace tandem::grammar {
namespace {

// The bytes of the plain character at the front of `text`, or 0.
size_t FrontLength(absl::string_view text) {
  for (const Utf8Sequence& sequence : kPlainCharacters) {
    const auto length = static_cast<size_t>(sequence.length);
    if (text.size() < length) continue;
    bool matches = true;
    for (size_t i = 0; i < length && matches; ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      matches = sequence.bytes[i][0] <= byte && byte <= sequence.bytes[i][1];
    }
    if (matches) return length;
  }
  return 0;
}

}  // namespace

std::optional<size_t> CountPlainCharacters(absl::string_view text) {
  size_t count = 0;
  while (!text.empty()) {
    const size_t length = FrontLength(text);
    if (length == 0) return std::nullopt;
    text.remove_prefix(length);
    ++count;
  }
  return count;
}

}  // namespace tandem::grammar
