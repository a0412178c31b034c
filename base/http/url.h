// Addresses of HTTP servers, and the bytes of a request to one.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/message.h"

namespace tandem::http {

struct Url {
  std::string host;  // without brackets
  std::string port;
  std::string prefix;  // of every path; empty, or "/…" without a final slash

  std::string HostAndPort() const;
};

// `url` is "http://host[:port][/prefix]". Errors: INVALID_ARGUMENT; UNIMPLEMENTED for https.
absl::StatusOr<Url> ParseUrl(absl::string_view url);

// Head and body of a request for a connection of its own ("Connection: close"). JSON unless `method` is GET.
std::string RequestBytes(const Url& url, absl::string_view method, absl::string_view path, const Headers& headers,
                         absl::string_view body);

}  // namespace tandem::http
