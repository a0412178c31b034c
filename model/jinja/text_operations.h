// Python's string algorithms over Text: each result keeps the marks of the bytes it is made of. Positions are bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/jinja/runtime.h"
#include "model/jinja/text.h"

namespace tandem::jinja {

// Linear-time search for `needle` in text[from:]; npos when absent.
size_t FindBytes(absl::string_view text, absl::string_view needle, size_t from);
size_t FindLastBytes(absl::string_view text, absl::string_view needle);
// Non-overlapping occurrences, as str.count.
int64_t CountOccurrences(absl::string_view text, absl::string_view needle);

enum class Side { kLeft, kRight, kBoth };
// Without `characters`: white space.
Text Strip(const Text& text, const std::optional<Text>& characters, Side side);

// A negative `limit` means no limit. Without `separator`: split at runs of white space.
std::vector<Text> Split(const Text& text, const std::optional<Text>& separator, int64_t limit);
std::vector<Text> SplitFromRight(const Text& text, const std::optional<Text>& separator, int64_t limit);
std::vector<Text> SplitLines(const Text& text, bool keep_ends);

Text Replace(Runtime& runtime, const Text& text, const Text& from, const Text& to, int64_t limit);
Text RepeatText(Runtime& runtime, const Text& text, size_t times);
Text Join(Runtime& runtime, const Text& separator, const std::vector<Text>& parts);

Text Upper(const Text& text);
Text Lower(const Text& text);
// First character upper, the rest lower.
Text Capitalize(const Text& text);
// str.title(): every run of letters capitalized.
Text TitleCase(const Text& text);
Text SwapCase(const Text& text);
// & < > ' " become HTML entities.
Text EscapeHtml(const Text& text);

}  // namespace tandem::jinja
