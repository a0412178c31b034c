#include "router/api_keys.h"

#include <openssl/crypto.h>

#include "absl/strings/match.h"

namespace tandem::router {

bool IsAuthorised(const std::vector<std::string>& keys, absl::string_view authorization) {
  constexpr absl::string_view kScheme = "Bearer ";
  if (keys.empty()) {
    return true;
  }
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) {
    return false;
  }
  authorization.remove_prefix(kScheme.size());
  bool found = false;
  for (const std::string& key : keys) {
    found |= key.size() == authorization.size() && CRYPTO_memcmp(key.data(), authorization.data(), key.size()) == 0;
  }
  return found;
}

}  // namespace tandem::router
