#include "cli/private_directory.h"

#include <stdlib.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace tandem::cli {

absl::StatusOr<std::unique_ptr<PrivateDirectory>> PrivateDirectory::Create() {
  const char* base = getenv("TMPDIR");
  std::string pattern = absl::StrCat(base == nullptr ? "/tmp" : base, "/tandem-XXXXXX");
  if (mkdtemp(pattern.data()) == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make a directory like ", pattern));
  }
  return std::unique_ptr<PrivateDirectory>(new PrivateDirectory(std::move(pattern)));
}

void PrivateDirectory::Remove() const {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tandem::cli
