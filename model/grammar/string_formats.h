// The values of JSON schema's "format" that are regular.
#pragma once

#include "absl/strings/string_view.h"

namespace tandem::grammar {

// A regular expression for a subset of the format that every checker accepts, or null for a format that is taken as an
// annotation, as the specification has it.
const char* FormatPattern(absl::string_view format);

}  // namespace tandem::grammar
