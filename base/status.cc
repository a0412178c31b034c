#include "base/status.h"

#include <cstdio>
#include <cstdlib>

namespace tandem {

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) {
    return status;
  }
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

void CheckFailed(const char* file, int line, absl::string_view what) {
  const std::string text = absl::StrCat(file, ":", line, ": check failed: ", what, "\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::abort();
}

}  // namespace tandem
