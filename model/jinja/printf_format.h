// Python's two ways to format strings.
#pragma once

#include "model/jinja/runtime.h"
#include "model/jinja/value.h"

namespace tandem::jinja {

// `format % argument`: a tuple gives several values, a dict gives named ones, anything else is the one value.
Text FormatPrintf(Runtime& runtime, const Text& format, const Value& argument);

// `format.format(*arguments)`: replacement fields with attributes, items, !r / !s and format specifications.
Text FormatBraces(Runtime& runtime, const Text& format, const Arguments& arguments);

// Layout of one formatted value.
struct FieldStyle {
  std::string fill = " ";
  char align = 0;   // '<', '>', '^', '='; 0: the default of the type
  char sign = '-';  // '+', ' ', '-'
  bool alternate = false;
  bool thousands = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;  // d, f, e, g, x, …; 0: the default of the type
};
// A number (in the sense of Value::IsNumber) by `style`; fails for types that do not fit.
std::string FormatNumber(const Value& value, const FieldStyle& style);
// `text` padded to `style.width` code points; `align` where the style names none.
Text PadText(Runtime& runtime, const Text& text, const FieldStyle& style, char align);

}  // namespace tandem::jinja
