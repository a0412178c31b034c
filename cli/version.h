#pragma once

#include <string>

namespace tandem::cli {

// "0.1.0"
std::string Version();

// "tandem 0.1.0 (commit 1a2b3c4, g++ 12.2.0)"
std::string VersionString();

}  // namespace tandem::cli
