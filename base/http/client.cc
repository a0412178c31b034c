#include "base/http/client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace tandem::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;

constexpr size_t kMaxBodyBytes = 256 << 20;

// A blocking face on asynchronous operations: only those have time-outs.
class Connection {
 public:
  explicit Connection(absl::Duration timeout) : timeout_(timeout) {}

  absl::Status Connect(const std::string& host, const std::string& port) {
    where_ = absl::StrCat(host, ":", port);
    boost::system::error_code error;
    const auto endpoints = tcp::resolver(io_).resolve(host, port, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot resolve ", where_, ": ", error.message()));
    }
    return Wait([&](auto done) {
      stream_.async_connect(endpoints, [done](boost::system::error_code e, const tcp::endpoint&) { done(e); });
    });
  }

  absl::Status Write(const std::string& bytes) {
    return Wait([&](auto done) {
      asio::async_write(stream_, asio::buffer(bytes), [done](boost::system::error_code e, size_t) { done(e); });
    });
  }

  // Reads the head, or some of the body, into `parser`.
  template <class Parser>
  absl::Status ReadHeader(Parser& parser) {
    return Wait([&](auto done) {
      beast::http::async_read_header(stream_, buffer_, parser,
                                     [done](boost::system::error_code e, size_t) { done(e); });
    });
  }
  template <class Parser>
  absl::Status ReadSome(Parser& parser) {
    return Wait([&](auto done) {
      beast::http::async_read_some(stream_, buffer_, parser, [done](boost::system::error_code e, size_t) { done(e); });
    });
  }

 private:
  template <class Begin>
  absl::Status Wait(Begin begin) {
    stream_.expires_after(absl::ToChronoNanoseconds(std::min(timeout_, absl::Hours(24))));
    boost::system::error_code result = asio::error::would_block;
    begin([&result](boost::system::error_code error) { result = error; });
    io_.restart();
    io_.run();
    if (result == beast::error::timeout) {
      return absl::DeadlineExceededError(absl::StrCat(where_, " was silent for ", absl::FormatDuration(timeout_)));
    }
    if (result) {
      return absl::UnavailableError(
          absl::StrCat("no answer from ", where_, ": ", result.message(), "; is the server running?"));
    }
    return absl::OkStatus();
  }

  const absl::Duration timeout_;
  std::string where_;
  asio::io_context io_;
  beast::tcp_stream stream_{io_};
  beast::flat_buffer buffer_;
};

}  // namespace

Client::Client(std::string host, std::string port, std::string prefix)
    : host_(std::move(host)), port_(std::move(port)), prefix_(std::move(prefix)) {}

absl::StatusOr<Client> Client::Create(absl::string_view url) {
  absl::string_view rest = url;
  if (absl::StartsWith(rest, "https://")) {
    return absl::UnimplementedError(absl::StrCat("https is not supported: ", url, "; use http, or a local TLS proxy"));
  }
  if (!absl::ConsumePrefix(&rest, "http://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", url, "' is not a URL; it should look like http://localhost:8000"));
  }
  absl::string_view authority = rest.substr(0, rest.find('/'));
  const std::string prefix(absl::StripSuffix(rest.substr(authority.size()), "/"));
  std::string port = "80";
  const size_t colon = authority.rfind(':');
  if (colon != absl::string_view::npos && !absl::EndsWith(authority, "]")) {
    port = std::string(authority.substr(colon + 1));
    authority = authority.substr(0, colon);
  }
  if (absl::ConsumePrefix(&authority, "[")) {
    absl::ConsumeSuffix(&authority, "]");
  }
  if (authority.empty() || port.empty() || port.find_first_not_of("0123456789") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", url, "' has no valid host and port; it should look like http://localhost:8000"));
  }
  return Client(std::string(authority), std::move(port), prefix);
}

absl::StatusOr<ClientResponse> Client::Get(absl::string_view path) { return Run("GET", path, "", nullptr); }

absl::StatusOr<ClientResponse> Client::PostJson(absl::string_view path, absl::string_view json) {
  return Run("POST", path, json, nullptr);
}

absl::StatusOr<ClientResponse> Client::PostForEvents(absl::string_view path, absl::string_view json,
                                                     const std::function<bool(absl::string_view data)>& on_event) {
  return Run("POST", path, json, on_event);
}

absl::StatusOr<ClientResponse> Client::Run(absl::string_view method, absl::string_view path, absl::string_view body,
                                           const std::function<bool(absl::string_view data)>& on_event) {
  Connection connection(timeout_);
  RETURN_IF_ERROR(connection.Connect(host_, port_));
  const bool bare_ipv6 = absl::StrContains(host_, ":");
  std::string request = absl::StrCat(method, " ", prefix_, path, " HTTP/1.1\r\nHost: ", bare_ipv6 ? "[" : "", host_,
                                     bare_ipv6 ? "]" : "", ":", port_, "\r\nConnection: close\r\n");
  if (method != "GET") {
    absl::StrAppend(&request, "Content-Type: application/json\r\nContent-Length: ", body.size(), "\r\n");
  }
  for (const auto& [name, value] : headers_) {
    absl::StrAppend(&request, name, ": ", value, "\r\n");
  }
  RETURN_IF_ERROR(connection.Write(absl::StrCat(request, "\r\n", body)));

  beast::http::response_parser<beast::http::string_body> parser;
  parser.body_limit(kMaxBodyBytes);
  RETURN_IF_ERROR(connection.ReadHeader(parser));
  ClientResponse response;
  response.status = parser.get().result_int();
  for (const auto& field : parser.get().base()) {
    response.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  const bool events =
      on_event != nullptr && absl::StartsWith(FindHeader(response.headers, "Content-Type"), "text/event-stream");
  if (events) {
    parser.body_limit(std::numeric_limits<uint64_t>::max());
  }
  EventParser event_parser;
  while (true) {
    std::string bytes = std::exchange(parser.get().body(), "");
    if (!events) {
      response.body += bytes;
    } else if (!event_parser.Push(bytes, on_event)) {
      return response;
    }
    if (parser.is_done()) {
      return response;
    }
    RETURN_IF_ERROR(connection.ReadSome(parser));
  }
}

}  // namespace tandem::http
