// str.format(), see printf_format.h.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "model/jinja/error.h"
#include "model/jinja/operations.h"
#include "model/jinja/printf_format.h"
#include "model/jinja/representation.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

int64_t ReadNumber(absl::string_view spec, size_t* pos) {
  int64_t number = 0;
  while (*pos < spec.size() && spec[*pos] >= '0' && spec[*pos] <= '9') {
    number = std::min<int64_t>(number * 10 + (spec[(*pos)++] - '0'), INT32_MAX);
  }
  return number;
}

// [[fill]align][sign][#][0][width][,][.precision][type]
FieldStyle ParseStyle(absl::string_view spec) {
  FieldStyle style;
  size_t pos = 0;
  const auto skip = [&](char c) { return pos < spec.size() && spec[pos] == c && ++pos > 0; };
  const size_t fill = spec.empty() ? 0 : utf8::DecodeAt(spec, 0).length;
  if (fill < spec.size() && fill > 0 && IsAlign(spec[fill])) {
    style.fill = std::string(spec.substr(0, fill));
    style.align = spec[fill];
    pos = fill + 1;
  } else if (!spec.empty() && IsAlign(spec[0])) {
    style.align = spec[0];
    pos = 1;
  }
  if (pos < spec.size() && absl::string_view("+- ").find(spec[pos]) != absl::string_view::npos) {
    style.sign = spec[pos++];
  }
  style.alternate = skip('#');
  if (skip('0') && style.align == 0) {
    style.fill.assign(1, '0');
    style.align = '=';
  }
  style.width = ReadNumber(spec, &pos);
  style.thousands = skip(',');
  if (skip('.')) {
    style.precision = ReadNumber(spec, &pos);
  }
  if (pos < spec.size()) {
    style.type = spec[pos++];
  }
  if (pos != spec.size()) {
    Fail("Invalid format specifier '", spec, "'");
  }
  return style;
}

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments) : runtime_(runtime), arguments_(arguments) {}

  Text Run(const Text& format, int nesting) {
    if (nesting > 2) {
      Fail("Max string recursion exceeded");
    }
    const absl::string_view view = format.view();
    Text out;
    for (size_t pos = 0; pos < view.size();) {
      const size_t brace = std::min(view.find_first_of("{}", pos), view.size());
      out.Append(format.Substr(pos, brace));
      if (brace == view.size()) {
        break;
      }
      if (brace + 1 < view.size() && view[brace + 1] == view[brace]) {
        out.Append(format.Substr(brace, brace + 1));
        pos = brace + 2;
        continue;
      }
      if (view[brace] == '}') {
        Fail("Single '}' encountered in format string");
      }
      const size_t end = FieldEnd(view, brace + 1);
      out.Append(Field(format.Substr(brace + 1, end), nesting));
      pos = end + 1;
    }
    return out;
  }

 private:
  static size_t FieldEnd(absl::string_view view, size_t pos) {
    for (int depth = 1; pos < view.size(); ++pos) {
      depth += view[pos] == '{' ? 1 : view[pos] == '}' ? -1 : 0;
      if (depth == 0) {
        return pos;
      }
    }
    Fail("expected '}' before end of string");
  }

  Text Field(const Text& field, int nesting) {
    const absl::string_view view = field.view();
    const size_t name_end = std::min(view.find_first_of("!:"), view.size());
    const Value value = Lookup(view.substr(0, name_end));
    char conversion = 0;
    size_t pos = name_end;
    if (pos < view.size() && view[pos] == '!') {
      conversion = pos + 1 < view.size() ? view[pos + 1] : 0;
      pos += 2;
      if ((conversion != 'r' && conversion != 's' && conversion != 'a') || (pos < view.size() && view[pos] != ':')) {
        Fail("expected ':' after conversion specifier");
      }
    }
    const Text spec = pos < view.size() ? Run(field.Substr(pos + 1), nesting + 1) : Text();
    const bool keep = conversion == 0;
    return FormatValue(keep ? value : Value::String(conversion == 's' ? Str(value) : Repr(value)), spec.view());
  }

  Text FormatValue(const Value& value, absl::string_view spec) {
    if (spec.empty()) {
      return Str(value);
    }
    const FieldStyle style = ParseStyle(spec);
    if (value.IsNumber() && !(value.IsBool() && style.type == 0)) {
      return PadText(runtime_, Text(FormatNumber(value, style)), style, '>');
    }
    if (!value.IsString() || (style.type != 0 && style.type != 's') || style.align == '=') {
      Fail("unsupported format string '", spec, "' for ", TypeName(value));
    }
    const size_t end =
        style.precision < 0 ? value.view().size() : utf8::OffsetOf(value.view(), static_cast<size_t>(style.precision));
    return PadText(runtime_, value.text().Substr(0, end), style, '<');
  }

  // name(.attribute | [item])*
  Value Lookup(absl::string_view path) {
    size_t pos = std::min(path.find_first_of(".["), path.size());
    Value value = First(path.substr(0, pos));
    while (pos < path.size()) {
      if (path[pos] == '.') {
        const size_t end = std::min(path.find_first_of(".[", pos + 1), path.size());
        value = GetAttribute(value, path.substr(pos + 1, end - pos - 1));
        pos = end;
      } else if (path[pos] == '[') {
        const size_t end = path.find(']', pos);
        if (end == absl::string_view::npos) {
          Fail("expected '}' before end of string");
        }
        const absl::string_view key = path.substr(pos + 1, end - pos - 1);
        int64_t index = 0;
        value = GetItem(value, absl::SimpleAtoi(key, &index) ? Value::Int(index) : Value::String(key));
        pos = end + 1;
      } else {
        Fail("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Value First(absl::string_view name) {
    int64_t index = 0;
    if (name.empty() || absl::SimpleAtoi(name, &index)) {
      index = name.empty() ? next_++ : index;
      if (index < 0 || index >= static_cast<int64_t>(arguments_.positional.size())) {
        Fail("Replacement index ", index, " out of range for positional args tuple");
      }
      return arguments_.positional[static_cast<size_t>(index)];
    }
    for (const auto& [key, value] : arguments_.keyword) {
      if (key == name) {
        return value;
      }
    }
    Fail("KeyError: '", name, "'");
  }

  Runtime& runtime_;
  const Arguments& arguments_;
  int64_t next_ = 0;
};

}  // namespace

Text FormatBraces(Runtime& runtime, const Text& format, const Arguments& arguments) {
  return BraceFormatter(runtime, arguments).Run(format, 0);
}

}  // namespace tandem::jinja
