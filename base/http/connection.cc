#include "base/http/connection.h"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tandem::http {
namespace {

namespace asio = boost::asio;
namespace bhttp = boost::beast::http;
using std::chrono::steady_clock;

constexpr size_t kReadBytes = 4 << 10;
constexpr size_t kBodyReadBytes = 64 << 10;
constexpr size_t kMaxPipelinedBytes = 64 << 10;
constexpr size_t kMaxLingerBytes = 64 << 20;
constexpr std::chrono::seconds kLingerTime(5);

steady_clock::time_point After(absl::Duration duration) {
  if (duration >= absl::Hours(24 * 365)) {
    return steady_clock::time_point::max();
  }
  return steady_clock::now() + absl::ToChronoNanoseconds(duration);
}

std::string ToString(boost::beast::string_view text) { return std::string(text.data(), text.size()); }

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

// Header text must not smuggle in further headers.
void AppendHeader(std::string& out, absl::string_view name, absl::string_view value) {
  absl::StrAppend(&out, name, ": ");
  for (char c : value) {
    out.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
  }
  out += "\r\n";
}

// Status and advice for what Beast's parser refuses.
std::pair<int, std::string> Explain(boost::system::error_code error, const ServerOptions& options) {
  if (error == bhttp::error::body_limit) {
    return {413, absl::StrCat("the request body is larger than ", options.max_body_bytes, " bytes")};
  }
  if (error == bhttp::error::header_limit) {
    return {431, absl::StrCat("the request headers are larger than ", options.max_header_bytes, " bytes")};
  }
  return {400, absl::StrCat("malformed HTTP request: ", error.message())};
}

}  // namespace

Connection::Connection(Socket socket, std::shared_ptr<const ConnectionContext> context,
                       std::function<void()> on_destroyed)
    : socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      context_(std::move(context)),
      on_destroyed_(std::move(on_destroyed)) {}

Connection::~Connection() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  on_destroyed_();
}

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

// ---- Input ----

void Connection::Read() {
  const bool full = state_ == State::kAnswering && buffer_.size() >= kMaxPipelinedBytes;
  if (reading_ || full || state_ == State::kClosed) {
    return;
  }
  reading_ = true;
  const bool body = state_ == State::kReading && parser_.has_value() && parser_->is_header_done();
  socket_.async_read_some(buffer_.prepare(body ? kBodyReadBytes : kReadBytes),
                          [self = shared_from_this()](boost::system::error_code error, size_t bytes) {
                            self->OnRead(error, bytes);
                          });
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
      !absl::EqualsIgnoreCase(ToString(parser_->get()[bhttp::field::expect]), "100-continue")) {
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
    if (std::shared_ptr<Connection> self = weak.lock()) {
      auto* raw = self.get();
      asio::post(raw->socket_.get_executor(), [self = std::move(self)] { self->Pump(); });
    }
  });
  const Router::Match match = context_->router.Resolve(request);
  summary_.route = request.route;
  context_->router.Dispatch(match, std::move(request), MakeWriter(exchange_));
  ArmTimer();
  Read();
}

// ---- Output ----

void Connection::Pump() {
  if (exchange_ == nullptr || state_ != State::kAnswering || response_done_) {
    return;
  }
  PendingOutput output = exchange_->Take();
  if (output.broken) {
    Close();
    return;
  }
  if (output.dropped) {
    output.response = std::make_unique<Response>(context_->router.Error(500, "the request was dropped without an answer"));
  }
  if (output.response != nullptr) {
    AppendResponse(*output.response);
    response_done_ = true;
  }
  if (output.head != nullptr) {
    AppendStreamHead(*output.head);
  }
  if (!output.data.empty()) {
    AppendData(output.data);
    out_payload_ += output.data.size();
  }
  if (output.end) {
    out_ += http_1_0_ ? "" : "0\r\n\r\n";
    response_done_ = true;
  }
  if (response_done_ && out_.empty() && !writing_) {  // an HTTP/1.0 stream whose end has no bytes
    FinishResponse();
  } else {
    Flush();
  }
}

void Connection::AppendHead(int status, absl::string_view content_type, const Headers& headers,
                            std::optional<size_t> length) {
  status_ = status;
  keep_alive_ = keep_alive_ && !draining_ && !(http_1_0_ && !length.has_value());
  absl::StrAppend(&out_, "HTTP/1.1 ", status, " ",
                  ToString(bhttp::obsolete_reason(static_cast<bhttp::status>(status))), "\r\n");
  AppendHeader(out_, "Date", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()));
  if (!content_type.empty()) {
    AppendHeader(out_, "Content-Type", content_type);
  }
  if (length.has_value()) {
    AppendHeader(out_, "Content-Length", absl::StrCat(*length));
  } else if (!http_1_0_) {
    AppendHeader(out_, "Transfer-Encoding", "chunked");
  }
  AppendHeader(out_, "Connection", keep_alive_ ? "keep-alive" : "close");
  if (!summary_.id.empty()) {
    AppendHeader(out_, "X-Request-Id", summary_.id);
  }
  for (const Headers* list : {&context_->options.common_headers, &headers}) {
    for (const auto& [name, value] : *list) {
      AppendHeader(out_, name, value);
    }
  }
  out_ += "\r\n";
}

void Connection::AppendResponse(const Response& response) {
  const bool bodiless = response.status == 204 || response.status == 304;
  AppendHead(response.status, bodiless ? "" : response.content_type, response.headers,
             bodiless ? 0 : response.body.size());
  if (!bodiless && summary_.method != "HEAD") {
    out_ += response.body;
  }
}

void Connection::AppendStreamHead(const StreamHead& head) {
  AppendHead(head.status, head.content_type, head.headers, std::nullopt);
  streaming_ = true;
  ping_ = head.ping;
  ping_interval_ = head.ping_interval >= absl::Hours(1000) ? std::chrono::nanoseconds::max()
                                                            : absl::ToChronoNanoseconds(head.ping_interval);
}

void Connection::AppendData(absl::string_view data) {
  if (http_1_0_) {
    absl::StrAppend(&out_, data);
  } else {
    absl::StrAppend(&out_, absl::Hex(data.size()), "\r\n", data, "\r\n");
  }
}

void Connection::Flush() {
  if (writing_ || out_.empty() || state_ == State::kClosed) {
    return;
  }
  writing_ = true;
  in_flight_.swap(out_);
  in_flight_payload_ = std::exchange(out_payload_, 0);
  write_deadline_ = After(context_->options.write_timeout);
  ping_deadline_ = TimePoint::max();
  ArmTimer();
  asio::async_write(socket_, asio::buffer(in_flight_),
                    [self = shared_from_this()](boost::system::error_code error, size_t bytes) {
                      self->OnWritten(error, bytes);
                    });
}

void Connection::OnWritten(boost::system::error_code error, size_t bytes) {
  writing_ = false;
  write_deadline_ = TimePoint::max();
  bytes_sent_ += bytes;
  if (state_ == State::kClosed) {
    return;
  }
  if (error) {
    Close();
    return;
  }
  in_flight_.clear();
  if (in_flight_.capacity() > kBodyReadBytes) {
    in_flight_.shrink_to_fit();
  }
  if (exchange_ != nullptr) {
    exchange_->Sent(std::exchange(in_flight_payload_, 0));
  }
  if (!out_.empty()) {
    Flush();
  } else if (response_done_) {
    FinishResponse();
  } else if (streaming_ && ping_interval_ != std::chrono::nanoseconds::max()) {
    ping_deadline_ = steady_clock::now() + ping_interval_;
    ArmTimer();
  }
}

void Connection::FinishResponse() {
  response_done_ = streaming_ = false;
  if (exchange_ != nullptr) {
    exchange_->Close(/*client_gone=*/false);
    exchange_ = nullptr;
    Report(status_);
  }
  if (!keep_alive_ || draining_) {
    Linger();
    return;
  }
  state_ = State::kReading;
  read_deadline_ = After(context_->options.idle_timeout);
  Parse();
}

void Connection::Reject(int status, absl::string_view message) {
  keep_alive_ = false;
  streaming_ = false;
  read_deadline_ = TimePoint::max();
  state_ = State::kAnswering;
  started_ = parser_.has_value() ? started_ : steady_clock::now();
  summary_ = Request();
  bytes_sent_ = 0;
  AppendResponse(context_->router.Error(status, message));
  response_done_ = true;
  Report(status);
  Flush();
}

void Connection::Linger() {
  state_ = State::kLingering;
  boost::system::error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error) {
    Close();
    return;
  }
  buffer_.consume(buffer_.size());
  read_deadline_ = steady_clock::now() + kLingerTime;
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

// ---- Deadlines ----

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
