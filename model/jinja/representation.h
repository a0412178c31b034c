// How values print: Python's str(), repr() and json.dumps().
#pragma once

#include <string>

#include "model/jinja/runtime.h"
#include "model/jinja/value.h"

namespace tandem::jinja {

// str(value): strings as they are, undefined as nothing.
Text Str(const Value& value);
// repr(value). A text that contains any input is marked as input as a whole.
Text Repr(const Value& value);
// The shortest decimal text that reads back as `number`, in Python's spelling (1.0, 1e+16, inf).
std::string FormatFloat(double number);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  std::optional<std::string> indent;  // one level of it; with it each element gets a line of its own
};
// json.dumps(value). Fails for values JSON lacks (undefined, functions). Marked like Repr.
Text ToJson(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace tandem::jinja
