#include "model/jinja/string_methods.h"

#include <algorithm>

#include "model/jinja/error.h"
#include "model/jinja/operations.h"
#include "model/jinja/printf_format.h"
#include "model/jinja/text_operations.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

constexpr size_t kNone = absl::string_view::npos;

// Methods of Markup give Markup.
Value Like(const Value& self, Text text) { return Value::String(std::move(text), self.IsMarkup()); }

Value ListLike(Runtime& runtime, const Value& self, std::vector<Text> parts) {
  runtime.ChargeBytes(parts.size() * (sizeof(Value) + sizeof(StringData)));
  std::vector<Value> values;
  values.reserve(parts.size());
  for (Text& part : parts) {
    values.push_back(Like(self, std::move(part)));
  }
  return Value::List(std::move(values));
}

template <Side side>
Value StripMethod(Runtime&, const Value& self, const BoundArguments& arguments) {
  return Like(self, Strip(self.text(), arguments.OptionalString(0), side));
}

template <Text (*function)(const Text&)>
Value MapMethod(Runtime&, const Value& self, const BoundArguments&) {
  return Like(self, function(self.text()));
}

Value SplitMethod(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  return ListLike(runtime, self, Split(self.text(), arguments.OptionalString(0), arguments.Int(1, -1)));
}

Value RSplitMethod(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  return ListLike(runtime, self, SplitFromRight(self.text(), arguments.OptionalString(0), arguments.Int(1, -1)));
}

Value SplitLinesMethod(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  return ListLike(runtime, self, SplitLines(self.text(), arguments.Bool(0, false)));
}

template <bool from_right>
Value PartitionMethod(Runtime&, const Value& self, const BoundArguments& arguments) {
  const Text separator = arguments.String(0);
  if (separator.empty()) {
    Fail("empty separator");
  }
  const Text& text = self.text();
  const size_t pos =
      from_right ? FindLastBytes(text.view(), separator.view()) : FindBytes(text.view(), separator.view(), 0);
  if (pos == kNone) {
    const Value empty = Like(self, Text());
    return Value::Tuple(from_right ? std::vector<Value>{empty, empty, self} : std::vector<Value>{self, empty, empty});
  }
  return Value::Tuple(
      {Like(self, text.Substr(0, pos)), Like(self, separator), Like(self, text.Substr(pos + separator.size()))});
}

// The bytes that the optional arguments `first` and `first + 1` (start and end, in code points) cut out of the text.
std::pair<size_t, size_t> Window(const Value& self, const BoundArguments& arguments, size_t first) {
  const int64_t length = *Length(self);
  const auto resolve = [&](size_t i, int64_t missing) {
    int64_t index = arguments.IsSet(i) ? arguments.Int(i, 0) : missing;
    index = index < 0 ? std::max<int64_t>(index + length, 0) : index;
    return index;
  };
  const int64_t start = resolve(first, 0);
  const int64_t end = std::min(resolve(first + 1, length), length);
  if (start > end) {
    return {kNone, kNone};
  }
  return {utf8::OffsetOf(self.view(), static_cast<size_t>(start)),
          utf8::OffsetOf(self.view(), static_cast<size_t>(end))};
}

enum class Position { kFirst, kLast };

template <Position position, bool required>
Value FindMethod(Runtime&, const Value& self, const BoundArguments& arguments) {
  const Text needle = arguments.String(0);
  const auto [begin, end] = Window(self, arguments, 1);
  size_t found = kNone;
  if (begin != kNone) {
    const absl::string_view window = self.view().substr(begin, end - begin);
    found = position == Position::kFirst ? FindBytes(window, needle.view(), 0) : FindLastBytes(window, needle.view());
  }
  if (found != kNone) {
    return Value::Int(static_cast<int64_t>(utf8::Length(self.view().substr(0, begin + found))));
  }
  if (required) {
    Fail("substring not found");
  }
  return Value::Int(-1);
}

Value CountMethod(Runtime&, const Value& self, const BoundArguments& arguments) {
  const Text needle = arguments.String(0);
  const auto [begin, end] = Window(self, arguments, 1);
  return Value::Int(begin == kNone ? 0 : CountOccurrences(self.view().substr(begin, end - begin), needle.view()));
}

bool HasAffix(absl::string_view window, const Value& affix, bool at_end) {
  RequireDefined(affix);
  if (!affix.IsString()) {
    Fail(at_end ? "endswith" : "startswith", " first arg must be str or a tuple of str, not ", TypeName(affix));
  }
  const absl::string_view wanted = affix.view();
  return window.size() >= wanted.size() &&
         (at_end ? window.substr(window.size() - wanted.size()) : window.substr(0, wanted.size())) == wanted;
}

template <bool at_end>
Value AffixMethod(Runtime&, const Value& self, const BoundArguments& arguments) {
  const auto [begin, end] = Window(self, arguments, 1);
  if (begin == kNone) {
    return Value::Bool(false);
  }
  const absl::string_view window = self.view().substr(begin, end - begin);
  if (!arguments[0].IsSequence(SequenceKind::kTuple)) {
    return Value::Bool(HasAffix(window, arguments[0], at_end));
  }
  const auto& affixes = arguments[0].sequence().items;
  return Value::Bool(
      std::any_of(affixes.begin(), affixes.end(), [&](const Value& affix) { return HasAffix(window, affix, at_end); }));
}

template <bool at_end>
Value RemoveAffixMethod(Runtime&, const Value& self, const BoundArguments& arguments) {
  const Text affix = arguments.String(0);
  if (!HasAffix(self.view(), arguments[0], at_end)) {
    return self;
  }
  return Like(self,
              at_end ? self.text().Substr(0, self.view().size() - affix.size()) : self.text().Substr(affix.size()));
}

Value ReplaceMethod(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const Text to = arguments.String(1);
  const bool escapes = self.IsMarkup() && !arguments[1].IsMarkup();
  return Like(self,
              Replace(runtime, self.text(), arguments.String(0), escapes ? EscapeHtml(to) : to, arguments.Int(2, -1)));
}

Value JoinMethod(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  std::vector<Text> parts;
  const Items items = Iterate(runtime, arguments[0]);
  for (const Value& item : *items) {
    if (!item.IsString()) {
      Fail("sequence item ", parts.size(), ": expected str instance, ", TypeName(item), " found");
    }
    parts.push_back(item.text());
  }
  return Like(self, Join(runtime, self.text(), parts));
}

Value FormatMethod(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  return Like(self, FormatBraces(runtime, self.text(), arguments.all()));
}

template <char align>
Value JustifyMethod(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  FieldStyle style;
  style.width = arguments.Int(0, 0);
  style.fill = arguments.String(1, " ").bytes();
  if (utf8::Length(style.fill) != 1) {
    Fail("The fill character must be exactly one character long");
  }
  // str.center puts the odd blank on the left when the width is odd, format's '^' always on the right.
  const int64_t padding = style.width - *Length(self);
  if (align == '^' && padding > 0 && padding % 2 == 1 && style.width % 2 == 1) {
    Text shifted(style.fill);
    shifted.Append(self.text());
    return Like(self, PadText(runtime, shifted, style, align));
  }
  return Like(self, PadText(runtime, self.text(), style, align));
}

Value ZeroFillMethod(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const int64_t missing = arguments.Int(0, 0) - *Length(self);
  const bool sign = !self.view().empty() && (self.view()[0] == '+' || self.view()[0] == '-');
  Text out = self.text().Substr(0, sign ? 1 : 0);
  out.Append(RepeatText(runtime, Text("0"), static_cast<size_t>(std::max<int64_t>(missing, 0))));
  out.Append(self.text().Substr(sign ? 1 : 0));
  return Like(self, std::move(out));
}

Value ExpandTabsMethod(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const int64_t size = arguments.Int(0, 8);
  Text out;
  int64_t column = 0;
  for (size_t pos = 0; pos < self.view().size();) {
    const utf8::CodePoint c = utf8::DecodeAt(self.view(), pos);
    if (c.value == U'\t') {
      const int64_t blanks = size > 0 ? size - column % size : 0;
      out.Append(RepeatText(runtime, Text(" "), static_cast<size_t>(blanks)));
      column += blanks;
    } else {
      out.Append(self.text().Substr(pos, pos + c.length));
      column = c.value == U'\n' || c.value == U'\r' ? 0 : column + 1;
    }
    pos += c.length;
  }
  return Like(self, std::move(out));
}

template <bool (*... predicates)(char32_t)>
Value AllMethod(Runtime&, const Value& self, const BoundArguments&) {
  const absl::string_view view = self.view();
  for (size_t pos = 0; pos < view.size();) {
    const utf8::CodePoint c = utf8::DecodeAt(view, pos);
    if (!(predicates(c.value) || ...)) {
      return Value::Bool(false);
    }
    pos += c.length;
  }
  return Value::Bool(!view.empty());
}

// At least one cased character, and none of the other case.
template <bool (*wanted)(char32_t), bool (*other)(char32_t)>
Value CasedMethod(Runtime&, const Value& self, const BoundArguments&) {
  const absl::string_view view = self.view();
  bool any = false;
  for (size_t pos = 0; pos < view.size();) {
    const utf8::CodePoint c = utf8::DecodeAt(view, pos);
    if (other(c.value)) {
      return Value::Bool(false);
    }
    any = any || wanted(c.value);
    pos += c.length;
  }
  return Value::Bool(any);
}

Value IsAsciiMethod(Runtime&, const Value& self, const BoundArguments&) {
  return Value::Bool(
      std::all_of(self.view().begin(), self.view().end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

constexpr Builtin kStringMethods[] = {
    {"strip", "|chars", StripMethod<Side::kBoth>},
    {"split", "|sep maxsplit", SplitMethod},
    {"startswith", "prefix|start end", AffixMethod<false>},
    {"endswith", "suffix|start end", AffixMethod<true>},
    {"lstrip", "|chars", StripMethod<Side::kLeft>},
    {"rstrip", "|chars", StripMethod<Side::kRight>},
    {"replace", "old new|count", ReplaceMethod},
    {"join", "iterable", JoinMethod},
    {"format", "*", FormatMethod},
    {"upper", "", MapMethod<Upper>},
    {"lower", "", MapMethod<Lower>},
    {"casefold", "", MapMethod<Lower>},
    {"title", "", MapMethod<TitleCase>},
    {"capitalize", "", MapMethod<Capitalize>},
    {"swapcase", "", MapMethod<SwapCase>},
    {"rsplit", "|sep maxsplit", RSplitMethod},
    {"splitlines", "|keepends", SplitLinesMethod},
    {"partition", "sep", PartitionMethod<false>},
    {"rpartition", "sep", PartitionMethod<true>},
    {"find", "sub|start end", FindMethod<Position::kFirst, false>},
    {"rfind", "sub|start end", FindMethod<Position::kLast, false>},
    {"index", "sub|start end", FindMethod<Position::kFirst, true>},
    {"rindex", "sub|start end", FindMethod<Position::kLast, true>},
    {"count", "sub|start end", CountMethod},
    {"removeprefix", "prefix", RemoveAffixMethod<false>},
    {"removesuffix", "suffix", RemoveAffixMethod<true>},
    {"center", "width|fillchar", JustifyMethod<'^'>},
    {"ljust", "width|fillchar", JustifyMethod<'<'>},
    {"rjust", "width|fillchar", JustifyMethod<'>'>},
    {"zfill", "width", ZeroFillMethod},
    {"expandtabs", "|tabsize", ExpandTabsMethod},
    {"isalpha", "", AllMethod<utf8::IsAlpha>},
    {"isdigit", "", AllMethod<utf8::IsDecimal>},
    {"isdecimal", "", AllMethod<utf8::IsDecimal>},
    {"isnumeric", "", AllMethod<utf8::IsNumeric>},
    {"isalnum", "", AllMethod<utf8::IsAlpha, utf8::IsNumeric>},
    {"isspace", "", AllMethod<utf8::IsSpace>},
    {"isupper", "", CasedMethod<utf8::IsUpper, utf8::IsLower>},
    {"islower", "", CasedMethod<utf8::IsLower, utf8::IsUpper>},
    {"isascii", "", IsAsciiMethod},
};

}  // namespace

absl::Span<const Builtin> StringMethods() { return kStringMethods; }

}  // namespace tandem::jinja
