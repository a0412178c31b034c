// The table behind methods.h for strings.
#pragma once

#include "absl/types/span.h"
#include "model/jinja/arguments.h"

namespace tandem::jinja {

absl::Span<const Builtin> StringMethods();

}  // namespace tandem::jinja
