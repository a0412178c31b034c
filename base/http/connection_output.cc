#include <boost/asio/write.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/http/connection.h"
#include "base/http/wire.h"

namespace tandem::http {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

constexpr size_t kKeptBufferBytes = 64 << 10;
constexpr std::chrono::seconds kLingerTime(5);

}  // namespace

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
    output.response =
        std::make_unique<Response>(context_->router.Error(500, "the request was dropped without an answer"));
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
  http::AppendHead({.status = status,
                    .content_type = content_type,
                    .length = length,
                    .chunked = !length.has_value() && !http_1_0_,
                    .keep_alive = keep_alive_,
                    .request_id = summary_.id},
                   context_->options.common_headers, headers, out_);
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
  asio::async_write(
      socket_, asio::buffer(in_flight_),
      [self = shared_from_this()](boost::system::error_code error, size_t bytes) { self->OnWritten(error, bytes); });
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
  if (in_flight_.capacity() > kKeptBufferBytes) {
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

}  // namespace tandem::http
