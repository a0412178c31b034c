// The byte alphabet of byte-level BPE: every byte has a printable stand-in character, so that a vocabulary of raw bytes
// can be written as text. Source: GPT-2's encoder (bytes_to_unicode). Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace tandem::model::tokenizer {

// The stand-in of each byte as UTF-8.
const std::array<std::string, 256>& ByteAlphabet();

// Appends `bytes` written in stand-ins.
void AppendInByteAlphabet(absl::string_view bytes, std::string* out);

// The bytes that `token` stands for, or nullopt if one of its characters is no stand-in.
// Precondition: `token` is valid UTF-8.
std::optional<std::string> BytesFromAlphabet(absl::string_view token);

}  // namespace tandem::model::tokenizer
