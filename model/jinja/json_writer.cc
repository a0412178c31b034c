// json.dumps(), see representation.h.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "model/jinja/error.h"
#include "model/jinja/operations.h"
#include "model/jinja/representation.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void Write(const Value& value);
  Text Take() {
    runtime_.ChargeBytes(out_.size());
    return Text(std::move(out_), from_input_);
  }

 private:
  void WriteString(const Text& text);
  void WriteArray(const std::vector<Value>& items);
  void WriteObject(const Dict& dict);
  void WriteKey(const Value& key);
  void BreakLine();

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
  bool from_input_ = false;
  int level_ = 0;
};

std::string NumberText(const Value& value) {
  if (value.IsInt()) {
    return absl::StrCat(value.integral());
  }
  const double number = value.number();
  if (std::isnan(number)) {
    return "NaN";
  }
  if (std::isinf(number)) {
    return number < 0 ? "-Infinity" : "Infinity";
  }
  return FormatFloat(number);
}

void AppendUnicodeEscape(char32_t c, std::string* out) {
  if (c >= 0x10000) {
    const auto offset = static_cast<unsigned>(c) - 0x10000;
    absl::StrAppendFormat(out, "\\u%04x\\u%04x", 0xD800 + (offset >> 10), 0xDC00 + (offset & 0x3FF));
  } else {
    absl::StrAppendFormat(out, "\\u%04x", static_cast<unsigned>(c));
  }
}

void AppendJsonEscaped(char32_t c, bool ensure_ascii, std::string* out) {
  static constexpr absl::string_view kShort = "\"\\\n\r\t\f\b";
  static constexpr absl::string_view kLetters = "\"\\nrtfb";
  const size_t position = c < 0x80 ? kShort.find(static_cast<char>(c)) : absl::string_view::npos;
  if (position != absl::string_view::npos) {
    out->push_back('\\');
    out->push_back(kLetters[position]);
  } else if (c < 0x20 || (ensure_ascii && c > 0x7E)) {
    AppendUnicodeEscape(c, out);
  } else {
    utf8::Append(c, out);
  }
}

void JsonWriter::WriteString(const Text& text) {
  from_input_ = from_input_ || text.AnyFromInput();
  out_.push_back('"');
  for (size_t pos = 0; pos < text.size();) {
    const utf8::CodePoint c = utf8::DecodeAt(text.view(), pos);
    AppendJsonEscaped(c.value, style_.ensure_ascii, &out_);
    pos += c.length;
  }
  out_.push_back('"');
}

void JsonWriter::BreakLine() {
  if (!style_.indent.has_value()) {
    return;
  }
  out_.push_back('\n');
  runtime_.ChargeBytes(style_.indent->size() * static_cast<size_t>(level_));
  for (int i = 0; i < level_; ++i) {
    out_ += *style_.indent;
  }
}

void JsonWriter::WriteArray(const std::vector<Value>& items) {
  if (items.empty()) {
    out_ += "[]";
    return;
  }
  out_.push_back('[');
  ++level_;
  for (size_t i = 0; i < items.size(); ++i) {
    out_ += i == 0 ? "" : style_.item_separator;
    BreakLine();
    Write(items[i]);
  }
  --level_;
  BreakLine();
  out_.push_back(']');
}

void JsonWriter::WriteKey(const Value& key) {
  if (key.IsString()) {
    return WriteString(key.text());
  }
  if (key.IsNone() || key.IsNumber()) {
    out_.push_back('"');
    Write(key);
    out_.push_back('"');
    return;
  }
  Fail("keys must be str, int, float, bool or None, not ", TypeName(key));
}

void JsonWriter::WriteObject(const Dict& dict) {
  if (dict.size() == 0) {
    out_ += "{}";
    return;
  }
  std::vector<const Dict::Entry*> entries;
  for (const Dict::Entry& entry : dict.entries()) {
    entries.push_back(&entry);
  }
  if (style_.sort_keys) {
    std::stable_sort(entries.begin(), entries.end(),
                     [](const auto* left, const auto* right) { return Less(left->first, right->first); });
  }
  out_.push_back('{');
  ++level_;
  for (size_t i = 0; i < entries.size(); ++i) {
    out_ += i == 0 ? "" : style_.item_separator;
    BreakLine();
    WriteKey(entries[i]->first);
    out_ += style_.key_separator;
    Write(entries[i]->second);
  }
  --level_;
  BreakLine();
  out_.push_back('}');
}

void JsonWriter::Write(const Value& value) {
  runtime_.ChargeStep();
  switch (value.kind()) {
    case Value::Kind::kNone:
      out_ += "null";
      return;
    case Value::Kind::kBool:
      out_ += value.boolean() ? "true" : "false";
      return;
    case Value::Kind::kInt:
    case Value::Kind::kFloat:
      out_ += NumberText(value);
      return;
    case Value::Kind::kString:
      return WriteString(value.text());
    case Value::Kind::kDict:
      return WriteObject(value.dict());
    case Value::Kind::kSequence:
      if (value.IsSequence(SequenceKind::kList) || value.IsSequence(SequenceKind::kTuple)) {
        return WriteArray(value.sequence().items);
      }
      break;
    default:
      break;
  }
  Fail("Object of type ", TypeName(value), " is not JSON serializable");
}

}  // namespace

Text ToJson(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.Write(value);
  return writer.Take();
}

}  // namespace tandem::jinja
