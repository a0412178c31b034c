#include "base/http/url.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tandem::http {

std::string Url::HostAndPort() const {
  const bool bare_ipv6 = absl::StrContains(host, ":");
  return absl::StrCat(bare_ipv6 ? "[" : "", host, bare_ipv6 ? "]" : "", ":", port);
}

absl::StatusOr<Url> ParseUrl(absl::string_view url) {
  absl::string_view rest = url;
  if (absl::StartsWith(rest, "https://")) {
    return absl::UnimplementedError(absl::StrCat("https is not supported: ", url, "; use http, or a local TLS proxy"));
  }
  if (!absl::ConsumePrefix(&rest, "http://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", url, "' is not a URL; it should look like http://localhost:8000"));
  }
  absl::string_view authority = rest.substr(0, rest.find('/'));
  Url result;
  result.prefix = std::string(absl::StripSuffix(rest.substr(authority.size()), "/"));
  result.port = "80";
  const size_t colon = authority.rfind(':');
  if (colon != absl::string_view::npos && !absl::EndsWith(authority, "]")) {
    result.port = std::string(authority.substr(colon + 1));
    authority = authority.substr(0, colon);
  }
  if (absl::ConsumePrefix(&authority, "[")) {
    absl::ConsumeSuffix(&authority, "]");
  }
  result.host = std::string(authority);
  if (result.host.empty() || result.port.empty() || result.port.find_first_not_of("0123456789") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", url, "' has no valid host and port; it should look like http://localhost:8000"));
  }
  return result;
}

std::string RequestBytes(const Url& url, absl::string_view method, absl::string_view path, const Headers& headers,
                         absl::string_view body) {
  std::string bytes = absl::StrCat(method, " ", url.prefix, path, " HTTP/1.1\r\nHost: ", url.HostAndPort(),
                                   "\r\nConnection: close\r\n");
  if (method != "GET") {
    absl::StrAppend(&bytes, "Content-Type: application/json\r\nContent-Length: ", body.size(), "\r\n");
  }
  for (const auto& [name, value] : headers) {
    absl::StrAppend(&bytes, name, ": ", value, "\r\n");
  }
  absl::StrAppend(&bytes, "\r\n", body);
  return bytes;
}

}  // namespace tandem::http
