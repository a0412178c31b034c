#include "base/http/connection.h"

#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "base/http/wire.h"

namespace tandem::http {
namespace {

namespace asio = boost::asio;
namespace bhttp = boost::beast::http;
using std::chrono::steady_clock;

constexpr size_t kReadBytes = 4 << 10;
constexpr size_t kBodyReadBytes = 64 << 10;
constexpr size_t kMaxPipelinedBytes = 64 << 10;
constexpr size_t kMaxLingerBytes = 64 << 20;

absl::string_view Text(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

Connection::Connection(Socket socket, std::shared_ptr<const ConnectionContext> context,
                       std::function<void()> on_destroyed)
    : on_destroyed_{std::move(on_destroyed)},
      socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      context_(std::move(context)) {}

void Connection::Start() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    boost::system::error_code ignored;
    self->socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    self->socket_.set_option(asio::socket_base::keep_alive(true), ignored);
    self->read_deadline_ = After(self->context_->options.header_timeout);
    self->ArmTimer();
    self->Parse();
  });
}

void Connection::Refuse() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->Reject(503, "too many connections; try again later");
    self->Read();
  });
}

void Connection::Drain() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->draining_ = true;
    const bool idle = self->state_ == State::kReading && !self->parser_.has_value() && self->buffer_.size() == 0;
    if (idle && !self->writing_) {
      self->Close();
    }
  });
}

void Connection::Abort() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->Close(); });
}

void Connection::Read() {
  const bool full = state_ == State::kAnswering && buffer_.size() >= kMaxPipelinedBytes;
  if (reading_ || full || state_ == State::kClosed) {
    return;
  }
  reading_ = true;
  const bool body = state_ == State::kReading && parser_.has_value() && parser_->is_header_done();
  socket_.async_read_some(
      buffer_.prepare(body ? kBodyReadBytes : kReadBytes),
      [self = shared_from_this()](boost::system::error_code error, size_t bytes) { self->OnRead(error, bytes); });
}

void Connection::OnRead(boost::system::error_code error, size_t bytes) {
  reading_ = false;
  if (state_ == State::kClosed) {
    return;
  }
  if (error) {
    Close();
    return;
  }
  buffer_.commit(bytes);
  if (state_ == State::kReading) {
    Parse();
    return;
  }
  if (state_ == State::kLingering) {
    lingered_bytes_ += bytes;
    buffer_.consume(buffer_.size());
    if (lingered_bytes_ > kMaxLingerBytes) {
      Close();
      return;
    }
  }
  Read();
}

void Connection::Parse() {
  const ServerOptions& options = context_->options;
  while (buffer_.size() > 0) {
    if (!parser_.has_value()) {
      parser_.emplace();
      parser_->eager(true);
      parser_->header_limit(static_cast<uint32_t>(options.max_header_bytes));
      parser_->body_limit(options.max_body_bytes);
      continue_sent_ = false;
      started_ = steady_clock::now();
      read_deadline_ = After(options.header_timeout);
    }
    const bool had_header = parser_->is_header_done();
    boost::system::error_code error;
    const size_t used = parser_->put(buffer_.data(), error);
    buffer_.consume(used);
    if (error && error != bhttp::error::need_more) {
      OnParseError(error);
      return;
    }
    if (parser_->is_header_done() && !had_header) {
      read_deadline_ = After(options.body_timeout);
      SendContinueIfAsked();
    }
    if (parser_->is_done()) {
      HandleRequest();
      return;
    }
    if (error == bhttp::error::need_more || used == 0) {
      break;
    }
  }
  ArmTimer();
  Read();
}

void Connection::OnParseError(boost::system::error_code error) {
  const auto [status, message] = Explain(error, context_->options);
  http_1_0_ = false;
  Reject(status, message);
  Read();
}

void Connection::SendContinueIfAsked() {
  if (continue_sent_ || parser_->is_done() || parser_->get().version() < 11 ||
      !absl::EqualsIgnoreCase(Text(parser_->get()[bhttp::field::expect]), "100-continue")) {
    return;
  }
  continue_sent_ = true;
  out_ += "HTTP/1.1 100 Continue\r\n\r\n";
  Flush();
}

void Connection::HandleRequest() {
  auto message = parser_->release();
  parser_.reset();
  http_1_0_ = message.version() < 11;
  keep_alive_ = message.keep_alive();
  Request request = MakeRequest(message);
  read_deadline_ = TimePoint::max();
  state_ = State::kAnswering;
  status_ = 0;
  streaming_ = response_done_ = false;
  bytes_sent_ = 0;
  summary_ = Request();
  summary_.method = request.method;
  summary_.path = request.path;
  summary_.id = request.id;
  std::weak_ptr<Connection> weak = weak_from_this();
  exchange_ = std::make_shared<Exchange>(context_->options.max_write_queue_bytes, [weak] {
    // Held until post has returned: the connection keeps the server, and so what post works with, alive.
    if (const std::shared_ptr<Connection> self = weak.lock()) {
      asio::post(self->socket_.get_executor(), [self] { self->Pump(); });
    }
  });
  const Router::Match match = context_->router.Resolve(request);
  summary_.route = request.route;
  context_->router.Dispatch(match, std::move(request), MakeWriter(exchange_));
  ArmTimer();
  Read();
}

void Connection::Close() {
  if (state_ == State::kClosed) {
    return;
  }
  state_ = State::kClosed;
  boost::system::error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
  if (exchange_ != nullptr) {
    exchange_->Close(/*client_gone=*/true);
    exchange_ = nullptr;
    Report(499);
  }
}

void Connection::Report(int status) {
  if (!context_->options.on_finished) {
    return;
  }
  context_->options.on_finished({.method = summary_.method,
                                 .path = summary_.path,
                                 .route = summary_.route,
                                 .id = summary_.id,
                                 .status = status,
                                 .bytes_sent = bytes_sent_,
                                 .duration = absl::FromChrono(steady_clock::now() - started_)});
}

Connection::TimePoint Connection::NextDeadline() const {
  return std::min({read_deadline_, write_deadline_, ping_deadline_});
}

// Deadlines that move later leave the timer as it is: it then fires too early, once, and is armed again.
void Connection::ArmTimer() {
  const TimePoint next = NextDeadline();
  if (state_ == State::kClosed || next >= armed_) {
    return;
  }
  armed_ = next;
  timer_.expires_at(next);
  timer_.async_wait([self = shared_from_this()](boost::system::error_code error) { self->OnTimer(error); });
}

void Connection::OnTimer(boost::system::error_code error) {
  if (error || state_ == State::kClosed) {
    return;  // cancelled by an earlier deadline, which has its own wait
  }
  armed_ = TimePoint::max();
  const TimePoint now = steady_clock::now();
  if (write_deadline_ <= now) {
    Close();
    return;
  }
  if (read_deadline_ <= now) {
    const bool in_request = state_ == State::kReading && parser_.has_value();
    if (!in_request) {
      Close();
      return;
    }
    Reject(408, "the request was not complete in time");
  }
  if (ping_deadline_ <= now) {
    ping_deadline_ = TimePoint::max();
    AppendData(ping_);
    Flush();
  }
  ArmTimer();
}

}  // namespace tandem::http
