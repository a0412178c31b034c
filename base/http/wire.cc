#include "base/http/wire.h"

#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tandem::http {
namespace {

namespace bhttp = boost::beast::http;

std::string ToString(boost::beast::string_view text) { return std::string(text.data(), text.size()); }

// Header text must not smuggle in further headers.
void AppendHeader(std::string& out, absl::string_view name, absl::string_view value) {
  absl::StrAppend(&out, name, ": ");
  for (char c : value) {
    out.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
  }
  out += "\r\n";
}

}  // namespace

Request MakeRequest(bhttp::request<bhttp::string_body>& message) {
  Request request;
  request.method = ToString(message.method_string());
  std::string target = ToString(message.target());
  const size_t question = target.find('?');
  if (question != std::string::npos) {
    request.query = target.substr(question + 1);
  }
  request.path = target.substr(0, question);
  for (const auto& field : message.base()) {
    request.headers.emplace_back(ToString(field.name_string()), ToString(field.value()));
  }
  request.body = std::move(message.body());
  request.id = UsableRequestId(request.Header("X-Request-Id"));
  return request;
}

std::pair<int, std::string> Explain(boost::system::error_code error, const ServerOptions& options) {
  if (error == bhttp::error::body_limit) {
    return {413, absl::StrCat("the request body is larger than ", options.max_body_bytes, " bytes")};
  }
  if (error == bhttp::error::header_limit) {
    return {431, absl::StrCat("the request headers are larger than ", options.max_header_bytes, " bytes")};
  }
  return {400, absl::StrCat("malformed HTTP request: ", error.message())};
}

void AppendHead(const ResponseHead& head, const Headers& common, const Headers& headers, std::string& out) {
  absl::StrAppend(&out, "HTTP/1.1 ", head.status, " ",
                  ToString(bhttp::obsolete_reason(static_cast<bhttp::status>(head.status))), "\r\n");
  AppendHeader(out, "Date", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()));
  if (!head.content_type.empty()) {
    AppendHeader(out, "Content-Type", head.content_type);
  }
  if (head.length.has_value()) {
    AppendHeader(out, "Content-Length", absl::StrCat(*head.length));
  }
  if (head.chunked) {
    AppendHeader(out, "Transfer-Encoding", "chunked");
  }
  AppendHeader(out, "Connection", head.keep_alive ? "keep-alive" : "close");
  if (!head.request_id.empty()) {
    AppendHeader(out, "X-Request-Id", head.request_id);
  }
  for (const Headers* list : {&common, &headers}) {
    for (const auto& [name, value] : *list) {
      AppendHeader(out, name, value);
    }
  }
  out += "\r\n";
}

}  // namespace tandem::http
