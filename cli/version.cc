#include "cli/version.h"

#include "absl/strings/str_cat.h"

namespace tandem::cli {

std::string Version() { return TANDEM_VERSION; }

std::string VersionString() {
  return absl::StrCat("tandem ", TANDEM_VERSION, " (commit ", TANDEM_COMMIT, ", ", TANDEM_COMPILER, ")");
}

}  // namespace tandem::cli
