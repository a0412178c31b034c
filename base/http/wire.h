// Between Beast's parser, our plain messages and the bytes of a response. Internal to base/http.
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/http/message.h"
#include "base/http/server.h"

namespace tandem::http {

// Takes the body out of `message`.
Request MakeRequest(boost::beast::http::request<boost::beast::http::string_body>& message);

// Status and advice for what Beast's parser refuses.
std::pair<int, std::string> Explain(boost::system::error_code error, const ServerOptions& options);

// Status line and headers of a response, up to the empty line.
struct ResponseHead {
  int status = 200;
  absl::string_view content_type;  // none when empty
  std::optional<size_t> length;    // of the body; absent for a stream
  bool chunked = false;
  bool keep_alive = true;
  absl::string_view request_id;
};

void AppendHead(const ResponseHead& head, const Headers& common, const Headers& headers, std::string& out);

}  // namespace tandem::http
