// Escape sequences of string literals.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace tandem::jinja {

// The value of a Python string literal's `body` (without quotes). Unknown escapes stay as they are; malformed ones,
// \N{…} and surrogates fail.
std::string UnescapeString(absl::string_view body);

}  // namespace tandem::jinja
