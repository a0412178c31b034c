// Template source → Ast. Throws TemplateError with the line.
#pragma once

#include "absl/strings/string_view.h"
#include "model/jinja/ast.h"

namespace tandem::jinja {

Ast Parse(absl::string_view source);

}  // namespace tandem::jinja
