// Filters that make text.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "model/jinja/error.h"
#include "model/jinja/filters.h"
#include "model/jinja/operations.h"
#include "model/jinja/printf_format.h"
#include "model/jinja/representation.h"
#include "model/jinja/text_operations.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

// Jinja2's soft_str: the string itself, Markup included, or str() of anything else.
Value Soft(const Value& self, Text text) { return Value::String(std::move(text), self.IsMarkup()); }

template <Text (*function)(const Text&)>
Value MapFilter(Runtime&, const Value& self, const BoundArguments&) {
  return Soft(self, function(Str(self)));
}

Value Trim(Runtime&, const Value& self, const BoundArguments& arguments) {
  return Soft(self, Strip(Str(self), arguments.OptionalString(0), Side::kBoth));
}

Value ToString(Runtime& runtime, const Value& self, const BoundArguments&) {
  runtime.ChargeBytes(self.extent().weight);
  return Soft(self, Str(self));
}

Value MarkSafe(Runtime&, const Value& self, const BoundArguments&) { return Value::String(Str(self), true); }

Value Escape(Runtime&, const Value& self, const BoundArguments&) {
  return self.IsMarkup() ? self : Value::String(EscapeHtml(Str(self)), true);
}

Value ForceEscape(Runtime&, const Value& self, const BoundArguments&) {
  return Value::String(EscapeHtml(Str(self)), true);
}

// Each word capitalized, where words also begin after - ( { [ <.
Value Title(Runtime&, const Value& self, const BoundArguments&) {
  const Text text = Str(self);
  const auto separates = [](char32_t c) {
    return utf8::IsSpace(c) || c == U'-' || c == U'(' || c == U'{' || c == U'[' || c == U'<';
  };
  Text out;
  size_t begin = 0;
  const auto flush = [&](size_t end) {
    out.Append(Capitalize(text.Substr(begin, end)));
    begin = end;
  };
  bool in_word = false;
  for (size_t pos = 0; pos < text.size();) {
    const utf8::CodePoint c = utf8::DecodeAt(text.view(), pos);
    if (in_word == separates(c.value)) {
      flush(pos);
      in_word = !in_word;
    }
    pos += c.length;
  }
  flush(text.size());
  return Soft(self, std::move(out));
}

Value ReplaceFilter(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const int64_t count = arguments.IsSet(2) ? arguments.Int(2, -1) : -1;
  return Value::String(Replace(runtime, Str(self), Str(arguments[0]), Str(arguments[1]), count));
}

Value Center(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  Arguments width;
  width.positional.push_back(Value::Int(arguments.Int(0, 80)));
  const Value text = self.IsString() ? self : Value::String(Str(self));
  return GetAttribute(text, "center").object()->Call(runtime, width);
}

Value FormatFilter(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const Arguments& all = arguments.all();
  if (all.keyword.empty()) {
    return Value::String(FormatPrintf(runtime, Str(self), Value::Tuple(all.positional)));
  }
  if (!all.positional.empty()) {
    Fail("can't handle positional and keyword arguments at the same time");
  }
  Dict named;
  for (const auto& [name, value] : all.keyword) {
    named.Set(Value::String(name), value);
  }
  return Value::String(FormatPrintf(runtime, Str(self), Value::Of(std::move(named))));
}

Value Indent(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  RequireDefined(self);
  if (!self.IsString()) {
    Fail("indent requires a string, not ", TypeName(self));
  }
  const bool text_width = arguments.Has(0) && arguments[0].IsString();
  const Text indention =
      text_width ? arguments[0].text()
                 : RepeatText(runtime, Text(" "), static_cast<size_t>(std::max<int64_t>(arguments.Int(0, 4), 0)));
  const bool blank = arguments.Bool(2, false);
  // Python appends a line break first so that splitlines keeps a final empty line.
  Text whole = self.text();
  whole.Append("\n");
  Text out;
  bool first = true;
  for (const Text& line : SplitLines(whole, false)) {
    if (!first) {
      out.Append("\n");
    }
    if (first ? arguments.Bool(1, false) : blank || !line.empty()) {
      runtime.ChargeBytes(indention.size());
      out.Append(indention);
    }
    first = false;
    out.Append(line);
  }
  return Soft(self, std::move(out));
}

Value Truncate(Runtime&, const Value& self, const BoundArguments& arguments) {
  RequireDefined(self);
  const Text end = arguments.String(2, "...");
  const int64_t length = arguments.Int(0, 255);
  const int64_t leeway = arguments.IsSet(3) ? arguments.Int(3, 5) : 5;
  const auto end_length = static_cast<int64_t>(utf8::Length(end.view()));
  if (!self.IsString() || length < end_length || leeway < 0) {
    Fail("truncate: expected a string, length >= ", end_length, " and leeway >= 0");
  }
  if (*Length(self) - leeway <= length) {
    return self;
  }
  Text cut = self.text().Substr(0, utf8::OffsetOf(self.view(), static_cast<size_t>(length - end_length)));
  if (!arguments.Bool(1, false)) {
    cut = SplitFromRight(cut, Text(" "), 1).front();
  }
  cut.Append(end);
  return Soft(self, std::move(cut));
}

bool IsWordCharacter(char32_t c) { return c == U'_' || utf8::IsAlpha(c) || utf8::IsNumeric(c); }

Value WordCount(Runtime&, const Value& self, const BoundArguments&) {
  const Text text = Str(self);
  int64_t count = 0;
  bool in_word = false;
  for (size_t pos = 0; pos < text.size();) {
    const utf8::CodePoint c = utf8::DecodeAt(text.view(), pos);
    const bool word = IsWordCharacter(c.value);
    count += word && !in_word ? 1 : 0;
    in_word = word;
    pos += c.length;
  }
  return Value::Int(count);
}

Text QuoteUrl(const Text& text, bool query) {
  return text.Transform([query](absl::string_view bytes) {
    std::string out;
    for (const char c : bytes) {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (letter || absl::string_view("_.-~").find(c) != absl::string_view::npos || (c == '/' && !query)) {
        out.push_back(c);
      } else if (c == ' ' && query) {
        out.push_back('+');
      } else {
        absl::StrAppendFormat(&out, "%%%02X", static_cast<unsigned char>(c));
      }
    }
    return out;
  });
}

Value UrlEncode(Runtime& runtime, const Value& self, const BoundArguments&) {
  if (self.IsString() || !IsIterable(self)) {
    return Value::String(QuoteUrl(Str(self), false));
  }
  const Value pairs = self.IsDict() ? GetAttribute(self, "items").object()->Call(runtime, {}) : self;
  std::vector<Text> parts;
  const Items items = Iterate(runtime, pairs);
  for (const Value& item : *items) {
    const Items pair = Iterate(runtime, item);
    if (pair->size() != 2) {
      Fail("urlencode expects pairs of a name and a value");
    }
    Text part = QuoteUrl(Str((*pair)[0]), true);
    part.Append("=");
    part.Append(QuoteUrl(Str((*pair)[1]), true));
    parts.push_back(std::move(part));
  }
  return Value::String(Join(runtime, Text("&"), parts));
}

JsonStyle ReadJsonStyle(const BoundArguments& arguments) {
  JsonStyle style;
  style.ensure_ascii = arguments.Bool(0, false);
  style.sort_keys = arguments.Bool(3, false);
  if (arguments.IsSet(1)) {
    style.indent = arguments[1].IsString()
                       ? arguments[1].text().bytes()
                       : std::string(static_cast<size_t>(std::clamp<int64_t>(arguments.Int(1, 0), 0, 1000)), ' ');
    style.item_separator.assign(1, ',');
  }
  if (arguments.IsSet(2)) {
    const bool pair = arguments[2].IsSequence() && arguments[2].sequence().items.size() == 2;
    if (!pair || !arguments[2].sequence().items[0].IsString() || !arguments[2].sequence().items[1].IsString()) {
      Fail("tojson: separators must be a pair of strings");
    }
    style.item_separator = arguments[2].sequence().items[0].text().bytes();
    style.key_separator = arguments[2].sequence().items[1].text().bytes();
  }
  return style;
}

Value ToJsonFilter(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  return Value::String(ToJson(runtime, self, ReadJsonStyle(arguments)));
}

Value FromJsonFilter(Runtime& runtime, const Value& self, const BoundArguments&) {
  RequireDefined(self);
  if (!self.IsString()) {
    Fail("the JSON object must be str, not ", TypeName(self));
  }
  runtime.ChargeBytes(self.view().size() * sizeof(Value));
  const auto json = nlohmann::ordered_json::parse(self.text().bytes(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    Fail("from_json: the text is not valid JSON");
  }
  return Value::FromJson(json, self.text().AnyFromInput());
}

constexpr Builtin kFilters[] = {
    {"trim", "|chars", Trim},
    {"tojson", "|ensure_ascii indent separators sort_keys", ToJsonFilter},
    {"string", "", ToString},
    {"upper", "", MapFilter<Upper>},
    {"lower", "", MapFilter<Lower>},
    {"capitalize", "", MapFilter<Capitalize>},
    {"title", "", Title},
    {"safe", "", MarkSafe},
    {"escape", "", Escape},
    {"e", "", Escape},
    {"forceescape", "", ForceEscape},
    {"replace", "old new|count", ReplaceFilter},
    {"center", "|width", Center},
    {"format", "*", FormatFilter},
    {"indent", "|width first blank", Indent},
    {"truncate", "|length killwords end leeway", Truncate},
    {"wordcount", "", WordCount},
    {"urlencode", "", UrlEncode},
    {"from_json", "", FromJsonFilter},
};

}  // namespace

absl::Span<const Builtin> TextFilters() { return kFilters; }

}  // namespace tandem::jinja
