// Names for threads, as debuggers and `top -H` show them.
#pragma once

#include "absl/strings/string_view.h"

namespace tandem {

// Names the calling thread; cut to 15 characters.
void SetThreadName(absl::string_view name);

}  // namespace tandem
