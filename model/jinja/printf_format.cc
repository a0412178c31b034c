#include "model/jinja/printf_format.h"

#include <algorithm>
#include <cmath>

#include "model/jinja/error.h"
#include "model/jinja/operations.h"
#include "model/jinja/representation.h"
#include "model/jinja/text_operations.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

class PrintfFormatter {
 public:
  PrintfFormatter(Runtime& runtime, const Text& format, const Value& argument)
      : runtime_(runtime), format_(format), view_(format.view()), argument_(argument) {}

  Text Run() {
    while (pos_ < view_.size()) {
      const size_t percent = std::min(view_.find('%', pos_), view_.size());
      out_.Append(format_.Substr(pos_, percent));
      pos_ = percent + 1;
      if (percent < view_.size()) {
        FormatField();
      }
    }
    const bool all_used = named_ || (argument_.IsSequence(SequenceKind::kTuple)
                                         ? used_ == argument_.sequence().items.size()
                                         : used_ == 1 || argument_.IsDict() || argument_.IsSequence());
    if (!all_used) {
      Fail("not all arguments converted during string formatting");
    }
    return std::move(out_);
  }

 private:
  char Peek() const {
    if (pos_ >= view_.size()) {
      Fail("incomplete format");
    }
    return view_[pos_];
  }

  Value Next() {
    if (argument_.IsSequence(SequenceKind::kTuple)) {
      const auto& items = argument_.sequence().items;
      if (used_ >= items.size()) {
        Fail("not enough arguments for format string");
      }
      return items[used_++];
    }
    if (used_++ > 0) {
      Fail("not enough arguments for format string");
    }
    return argument_;
  }

  Value Named() {
    const size_t close = view_.find(')', pos_);
    if (close == absl::string_view::npos) {
      Fail("incomplete format key");
    }
    if (!argument_.IsDict()) {
      Fail("format requires a mapping");
    }
    const absl::string_view key = view_.substr(pos_ + 1, close - pos_ - 1);
    pos_ = close + 1;
    named_ = true;
    const Value* found = argument_.dict().Find(key);
    if (found == nullptr) {
      Fail("KeyError: '", key, "'");
    }
    return *found;
  }

  int64_t Number() {
    if (pos_ < view_.size() && view_[pos_] == '*') {
      ++pos_;
      return RequireInt(Next(), "* width");
    }
    int64_t number = 0;
    while (pos_ < view_.size() && view_[pos_] >= '0' && view_[pos_] <= '9') {
      number = std::min<int64_t>(number * 10 + (view_[pos_++] - '0'), INT32_MAX);
    }
    return number;
  }

  FieldStyle ReadStyle() {
    FieldStyle style;
    for (bool flags = true; flags;) {
      switch (Peek()) {
        case '-':
          style.align = '<';
          break;
        case '+':
          style.sign = '+';
          break;
        case ' ':
          style.sign = style.sign == '+' ? '+' : ' ';
          break;
        case '#':
          style.alternate = true;
          break;
        case '0':
          style.fill.assign(1, '0');
          break;
        default:
          flags = false;
          continue;
      }
      ++pos_;
    }
    style.width = Number();
    if (style.width < 0) {
      style.align = '<';
      style.width = -style.width;
    }
    if (Peek() == '.') {
      ++pos_;
      style.precision = std::max<int64_t>(Number(), 0);
    }
    while (Peek() == 'l' || Peek() == 'h' || Peek() == 'L') {
      ++pos_;
    }
    return style;
  }

  Text Convert(char conversion, const Value& value, FieldStyle* style) {
    switch (conversion) {
      case 's':
      case 'r':
      case 'a': {
        style->fill.assign(1, ' ');
        const Text text = conversion == 's' ? Str(value) : Repr(value);
        return style->precision < 0
                   ? text
                   : text.Substr(0, utf8::OffsetOf(text.view(), static_cast<size_t>(style->precision)));
      }
      case 'c':
        if (value.IsString() && utf8::Length(value.view()) == 1) {
          return value.text();
        }
        Fail("%c requires int or char");
      default:
        return Text(ConvertNumber(conversion, value, *style));
    }
  }

  static std::string ConvertNumber(char conversion, const Value& value, FieldStyle style) {
    RequireDefined(value);
    if (!value.IsNumber()) {
      Fail("%", std::string(1, conversion), " format: a real number is required, not ", TypeName(value));
    }
    if (style.fill == "0" && style.align == 0) {
      style.align = '=';
    }
    const bool decimal = absl::string_view("diu").find(conversion) != absl::string_view::npos;
    if (!decimal && absl::string_view("eEfFgGxXo").find(conversion) == absl::string_view::npos) {
      Fail("unsupported format character '", std::string(1, conversion), "'");
    }
    style.type = decimal ? 'd' : conversion;
    const bool integral = decimal || absl::string_view("xXo").find(conversion) != absl::string_view::npos;
    if (integral && value.IsFloat()) {
      if (!decimal || !std::isfinite(value.number()) || std::abs(value.number()) > 9e18) {
        Fail("%", std::string(1, conversion), " format: an integer is required, not float");
      }
      return FormatNumber(Value::Int(static_cast<int64_t>(value.number())), style);
    }
    return FormatNumber(value, style);
  }

  void FormatField() {
    const bool named = Peek() == '(';
    const Value key_value = named ? Named() : Value();
    FieldStyle style = ReadStyle();
    const char conversion = view_[pos_++];
    if (conversion == '%') {
      out_.Append("%");
      return;
    }
    const Text text = Convert(conversion, named ? key_value : Next(), &style);
    out_.Append(PadText(runtime_, text, style, '>'));
  }

  Runtime& runtime_;
  const Text& format_;
  const absl::string_view view_;
  const Value& argument_;
  Text out_;
  size_t pos_ = 0;
  size_t used_ = 0;
  bool named_ = false;
};

}  // namespace

Text FormatPrintf(Runtime& runtime, const Text& format, const Value& argument) {
  return PrintfFormatter(runtime, format, argument).Run();
}

}  // namespace tandem::jinja
