#include "base/http/async_client.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <thread>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/http/response_reader.h"
#include "base/http/url.h"
#include "base/status.h"
#include "base/thread_name.h"

namespace tandem::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using Endpoints = tcp::resolver::results_type;

// One request and its connection: connect, write, read the head, read the body piece by piece. Every step is a handler
// that holds a reference, so the exchange lives until its last one has run. Touched by the client's thread alone.
class ClientExchange : public std::enable_shared_from_this<ClientExchange> {
 public:
  ClientExchange(asio::io_context& io, std::string where, std::string request, absl::Duration timeout,
                 EventHandler handler)
      : where_(std::move(where)),
        request_(std::move(request)),
        timeout_(std::min(timeout, absl::Hours(24))),
        handler_(std::move(handler)),
        stream_(io),
        reader_(handler_.on_event) {}

  // `on_end` runs after on_done.
  void Start(const Endpoints& endpoints, std::function<void()> on_end) {
    on_end_ = std::move(on_end);
    if (handler_.on_start != nullptr) {
      handler_.on_start();
    }
    Watch();
    stream_.async_connect(endpoints, [self = shared_from_this()](beast::error_code error, const tcp::endpoint&) {
      self->Continue(error, &ClientExchange::Write);
    });
  }

  // Ends the request early; on_done runs with CANCELLED as soon as the operation under way has noticed.
  void Cancel() {
    cancelled_ = true;
    stream_.cancel();
  }

 private:
  void Continue(beast::error_code error, void (ClientExchange::*next)()) {
    if (cancelled_) {
      End(absl::CancelledError("the client was closed"));
    } else if (error == beast::error::timeout) {
      End(absl::DeadlineExceededError(absl::StrCat(where_, " was silent for ", absl::FormatDuration(timeout_))));
    } else if (error) {
      End(absl::UnavailableError(
          absl::StrCat("no answer from ", where_, ": ", error.message(), "; is the server running?")));
    } else {
      (this->*next)();
    }
  }

  void Write() {
    Watch();
    asio::async_write(stream_, asio::buffer(request_), [self = shared_from_this()](beast::error_code error, size_t) {
      self->Continue(error, &ClientExchange::ReadHead);
    });
  }

  void ReadHead() {
    std::string().swap(request_);
    Watch();
    beast::http::async_read_header(stream_, buffer_, reader_.parser(),
                                   [self = shared_from_this()](beast::error_code error, size_t) {
                                     self->Continue(error, &ClientExchange::OnHead);
                                   });
  }

  void OnHead() {
    reader_.OnHeader();
    OnBody();
  }

  void OnBody() {
    if (!reader_.OnBody()) {
      End(std::move(reader_.response()));
      return;
    }
    Watch();
    beast::http::async_read_some(stream_, buffer_, reader_.parser(),
                                 [self = shared_from_this()](beast::error_code error, size_t) {
                                   self->Continue(error, &ClientExchange::OnBody);
                                 });
  }

  void Watch() { stream_.expires_after(absl::ToChronoNanoseconds(timeout_)); }

  void End(absl::StatusOr<ClientResponse> response) {
    stream_.close();
    handler_.on_done(std::move(response));
    on_end_();
  }

  const std::string where_;
  std::string request_;  // until it is sent
  const absl::Duration timeout_;
  const EventHandler handler_;
  std::function<void()> on_end_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  ResponseReader reader_;
  bool cancelled_ = false;
};

class AsyncClientImpl final : public AsyncClient {
 public:
  AsyncClientImpl(Url url, AsyncClientOptions options) : url_(std::move(url)), options_(std::move(options)) {}

  absl::Status Start() {
    boost::system::error_code error;
    endpoints_ = tcp::resolver(io_).resolve(url_.host, url_.port, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot resolve ", url_.HostAndPort(), ": ", error.message()));
    }
    thread_ = std::thread([this] {
      SetThreadName("http-client");
      io_.run();
    });
    return absl::OkStatus();
  }

  ~AsyncClientImpl() override {
    // Runs after every request that was posted before, so none is missed; without work left the thread ends by itself.
    asio::post(io_, [this] {
      for (const auto& exchange : running_) {
        exchange->Cancel();
      }
    });
    work_.reset();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  void PostForEvents(absl::string_view path, absl::string_view json, EventHandler handler) override {
    auto exchange = std::make_shared<ClientExchange>(io_, url_.HostAndPort(),
                                                     RequestBytes(url_, "POST", path, options_.headers, json),
                                                     options_.timeout, std::move(handler));
    asio::post(io_, [this, exchange = std::move(exchange)] {
      running_.insert(exchange);
      exchange->Start(endpoints_, [this, raw = exchange.get()] { running_.erase(raw->shared_from_this()); });
    });
  }

 private:
  const Url url_;
  const AsyncClientOptions options_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  Endpoints endpoints_;
  std::unordered_set<std::shared_ptr<ClientExchange>> running_;  // the client's thread
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AsyncClient>> AsyncClient::Create(absl::string_view url, AsyncClientOptions options) {
  ASSIGN_OR_RETURN(Url parsed, ParseUrl(url));
  auto client = std::make_unique<AsyncClientImpl>(std::move(parsed), std::move(options));
  RETURN_IF_ERROR(client->Start());
  return client;
}

}  // namespace tandem::http
