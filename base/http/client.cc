#include "base/http/client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/http/response_reader.h"
#include "base/status.h"

namespace tandem::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;

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

Client::Client(Url url) : url_(std::move(url)) {}

absl::StatusOr<Client> Client::Create(absl::string_view url) {
  ASSIGN_OR_RETURN(Url parsed, ParseUrl(url));
  return Client(std::move(parsed));
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
  RETURN_IF_ERROR(connection.Connect(url_.host, url_.port));
  RETURN_IF_ERROR(connection.Write(RequestBytes(url_, method, path, headers_, body)));
  ResponseReader reader(on_event);
  RETURN_IF_ERROR(connection.ReadHeader(reader.parser()));
  reader.OnHeader();
  while (reader.OnBody()) {
    RETURN_IF_ERROR(connection.ReadSome(reader.parser()));
  }
  return std::move(reader.response());
}

}  // namespace tandem::http
