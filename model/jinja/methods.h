// The methods of strings, dicts, lists and tuples that templates may call. Methods that would change a container exist
// in Python but the sandbox refuses them: they are found as an undefined value that fails when called.
#pragma once

#include <optional>

#include "absl/strings/string_view.h"
#include "model/jinja/value.h"

namespace tandem::jinja {

// The method `name` bound to `self`, or nothing.
std::optional<Value> FindMethod(const Value& self, absl::string_view name);

}  // namespace tandem::jinja
