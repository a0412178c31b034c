#include "model/jinja/representation.h"

#include <array>
#include <charconv>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "model/jinja/error.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

// Collects the repr and remembers whether any input went in.
struct ReprWriter {
  std::string out;
  bool from_input = false;

  void Write(const Value& value);
  void WriteString(const Text& text);
  void WriteSequence(const Sequence& sequence);
  void WriteItems(const std::vector<Value>& items, absl::string_view open, absl::string_view close);
  void WriteDict(const Dict& dict);
};

void AppendEscaped(char32_t c, char quote, std::string* out) {
  if (c == static_cast<char32_t>(quote) || c == U'\\') {
    absl::StrAppend(out, "\\", std::string(1, static_cast<char>(c)));
  } else if (c == U'\n') {
    out->append("\\n");
  } else if (c == U'\r') {
    out->append("\\r");
  } else if (c == U'\t') {
    out->append("\\t");
  } else if (utf8::IsPrintable(c)) {
    utf8::Append(c, out);
  } else if (c < 0x100) {
    absl::StrAppendFormat(out, "\\x%02x", static_cast<unsigned>(c));
  } else if (c < 0x10000) {
    absl::StrAppendFormat(out, "\\u%04x", static_cast<unsigned>(c));
  } else {
    absl::StrAppendFormat(out, "\\U%08x", static_cast<unsigned>(c));
  }
}

void ReprWriter::WriteString(const Text& text) {
  from_input = from_input || text.AnyFromInput();
  const absl::string_view view = text.view();
  const bool double_quotes = absl::StrContains(view, '\'') && !absl::StrContains(view, '"');
  const char quote = double_quotes ? '"' : '\'';
  out.push_back(quote);
  for (size_t pos = 0; pos < view.size();) {
    const utf8::CodePoint c = utf8::DecodeAt(view, pos);
    AppendEscaped(c.value, quote, &out);
    pos += c.length;
  }
  out.push_back(quote);
}

void ReprWriter::WriteItems(const std::vector<Value>& items, absl::string_view open, absl::string_view close) {
  absl::StrAppend(&out, open);
  for (size_t i = 0; i < items.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ", ");
    Write(items[i]);
  }
  absl::StrAppend(&out, close);
}

void ReprWriter::WriteSequence(const Sequence& sequence) {
  switch (sequence.kind) {
    case SequenceKind::kList:
      return WriteItems(sequence.items, "[", "]");
    case SequenceKind::kTuple:
      return WriteItems(sequence.items, "(", sequence.items.size() == 1 ? ",)" : ")");
    case SequenceKind::kKeysView:
      return WriteItems(sequence.items, "dict_keys([", "])");
    case SequenceKind::kValuesView:
      return WriteItems(sequence.items, "dict_values([", "])");
    case SequenceKind::kItemsView:
      return WriteItems(sequence.items, "dict_items([", "])");
    case SequenceKind::kIterator:
      absl::StrAppend(&out, "<generator object>");
      return;
    case SequenceKind::kRange: {
      const auto& items = sequence.items;
      const int64_t first = items.empty() ? 0 : items.front().integral();
      const int64_t step = items.size() < 2 ? 1 : items[1].integral() - first;
      const int64_t end = items.empty() ? 0 : items.back().integral() + step;
      absl::StrAppend(&out, "range(", first, ", ", end, step == 1 ? ")" : absl::StrCat(", ", step, ")"));
      return;
    }
  }
}

void ReprWriter::WriteDict(const Dict& dict) {
  out.push_back('{');
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    absl::StrAppend(&out, first ? "" : ", ");
    first = false;
    Write(key);
    absl::StrAppend(&out, ": ");
    Write(value);
  }
  out.push_back('}');
}

void ReprWriter::Write(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kUndefined:
      absl::StrAppend(&out, "Undefined");
      return;
    case Value::Kind::kNone:
      absl::StrAppend(&out, "None");
      return;
    case Value::Kind::kBool:
      absl::StrAppend(&out, value.boolean() ? "True" : "False");
      return;
    case Value::Kind::kInt:
      absl::StrAppend(&out, value.integral());
      return;
    case Value::Kind::kFloat:
      absl::StrAppend(&out, FormatFloat(value.number()));
      return;
    case Value::Kind::kString:
      if (value.IsMarkup()) {
        absl::StrAppend(&out, "Markup(");
      }
      WriteString(value.text());
      absl::StrAppend(&out, value.IsMarkup() ? ")" : "");
      return;
    case Value::Kind::kSequence:
      return WriteSequence(value.sequence());
    case Value::Kind::kDict:
      return WriteDict(value.dict());
    case Value::Kind::kObject:
      absl::StrAppend(&out, value.object()->Repr());
      return;
  }
}

}  // namespace

std::string FormatFloat(double number) {
  if (std::isnan(number)) {
    return "nan";
  }
  if (std::isinf(number)) {
    return number < 0 ? "-inf" : "inf";
  }
  std::array<char, 64> buffer;
  const auto scientific =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::scientific);
  const absl::string_view text(buffer.data(), static_cast<size_t>(scientific.ptr - buffer.data()));
  const size_t mark = text.find('e');
  int exponent = 0;
  const size_t digits = mark + (text[mark + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + digits, text.data() + text.size(), exponent);
  if (number != 0 && (exponent < -4 || exponent >= 16)) {
    return std::string(text);
  }
  const auto fixed = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::fixed);
  std::string out(buffer.data(), fixed.ptr);
  return absl::StrContains(out, '.') ? out : absl::StrCat(out, ".0");
}

Text Str(const Value& value) {
  if (value.IsString()) {
    return value.text();
  }
  return value.IsUndefined() ? Text() : Repr(value);
}

Text Repr(const Value& value) {
  ReprWriter writer;
  writer.Write(value);
  return Text(std::move(writer.out), writer.from_input);
}

}  // namespace tandem::jinja
