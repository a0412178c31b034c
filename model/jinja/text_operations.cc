#include "model/jinja/text_operations.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_replace.h"
#include "model/jinja/error.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

constexpr size_t kNone = absl::string_view::npos;

// Calls `take(begin, end)` for the words between white space, until it returns false.
template <typename Take>
void ForEachWord(absl::string_view view, Take take) {
  size_t pos = 0;
  while (pos < view.size()) {
    utf8::CodePoint c = utf8::DecodeAt(view, pos);
    if (utf8::IsSpace(c.value)) {
      pos += c.length;
      continue;
    }
    const size_t begin = pos;
    while (pos < view.size() && !utf8::IsSpace((c = utf8::DecodeAt(view, pos)).value)) {
      pos += c.length;
    }
    if (!take(begin, pos)) {
      return;
    }
  }
}

std::vector<Text> SplitWords(const Text& text, int64_t limit) {
  std::vector<Text> parts;
  ForEachWord(text.view(), [&](size_t begin, size_t end) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(text.Substr(begin));
      return false;
    }
    parts.push_back(text.Substr(begin, end));
    return true;
  });
  return parts;
}

std::vector<Text> SplitWordsFromRight(const Text& text, int64_t limit) {
  std::vector<std::pair<size_t, size_t>> words;
  ForEachWord(text.view(), [&](size_t begin, size_t end) {
    words.emplace_back(begin, end);
    return true;
  });
  size_t first = 0;
  std::vector<Text> parts;
  if (limit >= 0 && static_cast<int64_t>(words.size()) > limit) {
    first = words.size() - static_cast<size_t>(limit);
    parts.push_back(text.Substr(0, words[first - 1].second));
  }
  for (size_t i = first; i < words.size(); ++i) {
    parts.push_back(text.Substr(words[i].first, words[i].second));
  }
  return parts;
}

void RequireSeparator(const Text& separator) {
  if (separator.empty()) {
    Fail("empty separator");
  }
}

template <typename Map>
Text MapLetters(const Text& text, Map map) {
  Text out;
  size_t begin = 0;
  bool after_letter = false;
  for (const Text::Span& span : text.spans()) {
    while (begin < span.end) {
      const utf8::CodePoint c = utf8::DecodeAt(text.view(), begin);
      const absl::string_view bytes = text.view().substr(begin, c.length);
      out.Append(map(bytes, c.value, after_letter), span.from_input);
      after_letter = utf8::IsUpper(c.value) || utf8::IsLower(c.value);
      begin += c.length;
    }
  }
  return out;
}

}  // namespace

size_t FindBytes(absl::string_view text, absl::string_view needle, size_t from) {
  if (from > text.size()) {
    return kNone;
  }
  if (needle.empty()) {
    return from;
  }
  // memmem is linear in the worst case, unlike the search of string_view.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return found == nullptr ? kNone : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t FindLastBytes(absl::string_view text, absl::string_view needle) {
  if (needle.empty()) {
    return text.size();
  }
  size_t last = kNone;
  for (size_t pos = 0; (pos = FindBytes(text, needle, pos)) != kNone; ++pos) {
    last = pos;
  }
  return last;
}

int64_t CountOccurrences(absl::string_view text, absl::string_view needle) {
  if (needle.empty()) {
    return static_cast<int64_t>(utf8::Length(text)) + 1;
  }
  int64_t count = 0;
  for (size_t pos = 0; (pos = FindBytes(text, needle, pos)) != kNone; pos += needle.size()) {
    ++count;
  }
  return count;
}

Text Strip(const Text& text, const std::optional<Text>& characters, Side side) {
  const absl::string_view view = text.view();
  const auto strips = [&](size_t pos, size_t length, char32_t c) {
    return characters.has_value() ? FindBytes(characters->view(), view.substr(pos, length), 0) != kNone
                                  : utf8::IsSpace(c);
  };
  size_t begin = 0;
  size_t end = view.size();
  while (side != Side::kRight && begin < end) {
    const utf8::CodePoint c = utf8::DecodeAt(view, begin);
    if (!strips(begin, c.length, c.value)) {
      break;
    }
    begin += c.length;
  }
  while (side != Side::kLeft && begin < end) {
    const utf8::CodePoint c = utf8::DecodeBefore(view, end);
    if (!strips(end - c.length, c.length, c.value)) {
      break;
    }
    end -= c.length;
  }
  return text.Substr(begin, end);
}

std::vector<Text> Split(const Text& text, const std::optional<Text>& separator, int64_t limit) {
  if (!separator.has_value()) {
    return SplitWords(text, limit);
  }
  RequireSeparator(*separator);
  std::vector<Text> parts;
  size_t begin = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t end = FindBytes(text.view(), separator->view(), begin);
    if (end == kNone) {
      break;
    }
    parts.push_back(text.Substr(begin, end));
    begin = end + separator->size();
  }
  parts.push_back(text.Substr(begin));
  return parts;
}

std::vector<Text> SplitFromRight(const Text& text, const std::optional<Text>& separator, int64_t limit) {
  if (!separator.has_value()) {
    return SplitWordsFromRight(text, limit);
  }
  RequireSeparator(*separator);
  if (limit < 0) {
    limit = static_cast<int64_t>(text.size());
  }
  std::vector<Text> parts;
  size_t end = text.size();
  for (size_t pos = text.size() + 1; pos-- > 0 && static_cast<int64_t>(parts.size()) < limit;) {
    if (pos + separator->size() <= end && text.view().substr(pos, separator->size()) == separator->view()) {
      parts.push_back(text.Substr(pos + separator->size(), end));
      end = pos;
    }
  }
  parts.push_back(text.Substr(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> SplitLines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  const absl::string_view view = text.view();
  size_t begin = 0;
  for (size_t pos = 0; pos < view.size();) {
    const utf8::CodePoint c = utf8::DecodeAt(view, pos);
    const size_t line_end = pos;
    pos += c.length;
    if (!utf8::IsLineBreak(c.value)) {
      continue;
    }
    if (c.value == U'\r' && pos < view.size() && view[pos] == '\n') {
      ++pos;
    }
    lines.push_back(text.Substr(begin, keep_ends ? pos : line_end));
    begin = pos;
  }
  if (begin < view.size()) {
    lines.push_back(text.Substr(begin));
  }
  return lines;
}

Text Replace(Runtime& runtime, const Text& text, const Text& from, const Text& to, int64_t limit) {
  runtime.ChargeBytes(text.size());
  const absl::string_view view = text.view();
  Text out;
  size_t begin = 0;
  // An empty pattern matches before every character and at the end.
  for (size_t pos = 0; limit != 0 && (pos = FindBytes(view, from.view(), pos)) != kNone; --limit) {
    runtime.ChargeBytes(to.size());
    out.Append(text.Substr(begin, pos));
    out.Append(to);
    begin = pos;
    if (!from.empty()) {
      begin = pos = pos + from.size();
    } else if (pos == view.size()) {
      break;
    } else {
      pos += utf8::DecodeAt(view, pos).length;
    }
  }
  out.Append(text.Substr(begin));
  return out;
}

Text RepeatText(Runtime& runtime, const Text& text, size_t times) {
  runtime.ChargeBytes(text.size(), times);
  Text out;
  for (size_t i = 0; !text.empty() && i < times; ++i) {
    out.Append(text);
  }
  return out;
}

Text Join(Runtime& runtime, const Text& separator, const std::vector<Text>& parts) {
  Text out;
  for (size_t i = 0; i < parts.size(); ++i) {
    runtime.ChargeBytes(parts[i].size() + separator.size());
    if (i > 0) {
      out.Append(separator);
    }
    out.Append(parts[i]);
  }
  return out;
}

Text Upper(const Text& text) { return text.Transform(utf8::Upper); }

Text Lower(const Text& text) { return text.Transform(utf8::Lower); }

Text Capitalize(const Text& text) {
  const size_t first = utf8::OffsetOf(text.view(), 1);
  Text out = Upper(text.Substr(0, first));
  out.Append(Lower(text.Substr(first)));
  return out;
}

Text TitleCase(const Text& text) {
  return MapLetters(text, [](absl::string_view bytes, char32_t, bool after_letter) {
    return after_letter ? utf8::Lower(bytes) : utf8::Upper(bytes);
  });
}

Text SwapCase(const Text& text) {
  return MapLetters(text, [](absl::string_view bytes, char32_t c, bool) {
    return utf8::IsUpper(c) ? utf8::Lower(bytes) : utf8::Upper(bytes);
  });
}

Text EscapeHtml(const Text& text) {
  return text.Transform([](absl::string_view run) {
    return absl::StrReplaceAll(run, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}});
  });
}

}  // namespace tandem::jinja
