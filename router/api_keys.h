// The API keys of a server.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem::router {

// Whether `authorization`, the value of that header, is "Bearer KEY" with one of `keys`. Without keys everybody may.
// Takes the same time for every wrong key of a length.
bool IsAuthorised(const std::vector<std::string>& keys, absl::string_view authorization);

}  // namespace tandem::router
