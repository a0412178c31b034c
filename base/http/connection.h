// One client connection: reads requests, dispatches them one at a time, writes responses. Internal to base/http.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/http/exchange.h"
#include "base/http/router.h"
#include "base/http/server.h"

namespace tandem::http {

using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;
using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Strand>;
using Timer = boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                                boost::asio::wait_traits<std::chrono::steady_clock>, Strand>;

// From now; far away for an infinite duration.
inline std::chrono::steady_clock::time_point After(absl::Duration duration) {
  return duration >= absl::Hours(24 * 365) ? std::chrono::steady_clock::time_point::max()
                                           : std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(duration);
}

// What all connections of a server share; outlives them.
struct ConnectionContext {
  ServerOptions options;
  Router router;
};

// Everything private runs on the connection's strand. Lives as long as an operation or a handler's wake-up refers to
// it.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // `on_destroyed` runs when the last reference is gone, and nothing of the connection is left.
  Connection(Socket socket, std::shared_ptr<const ConnectionContext> context, std::function<void()> on_destroyed);

  // Thread-safe.
  void Start();
  void Refuse();  // answers 503 and closes
  void Drain();   // closes when idle, or after the response that is being made
  void Abort();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  enum class State { kReading, kAnswering, kLingering, kClosed };

  void Read();
  void OnRead(boost::system::error_code error, size_t bytes);
  void Parse();
  void OnParseError(boost::system::error_code error);
  void SendContinueIfAsked();
  void HandleRequest();

  void Pump();  // moves output of the current exchange to the socket
  void AppendResponse(const Response& response);
  void AppendStreamHead(const StreamHead& head);
  void AppendHead(int status, absl::string_view content_type, const Headers& headers, std::optional<size_t> length);
  void AppendData(absl::string_view data);
  void Flush();
  void OnWritten(boost::system::error_code error, size_t bytes);
  void FinishResponse();
  void Reject(int status, absl::string_view message);
  void Linger();  // half-closes and swallows what the client still sends, so that it can read the response
  void Close();
  void Report(int status);

  TimePoint NextDeadline() const;
  void ArmTimer();
  void OnTimer(boost::system::error_code error);

  struct AtEnd {
    std::function<void()> callback;
    ~AtEnd() { callback(); }
  };

  const AtEnd on_destroyed_;  // first, so that it is destroyed, and runs, after all others
  Socket socket_;
  Timer timer_;
  const std::shared_ptr<const ConnectionContext> context_;

  State state_ = State::kReading;
  bool draining_ = false;

  // Input.
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  bool reading_ = false;
  bool continue_sent_ = false;
  size_t lingered_bytes_ = 0;

  // The request being answered.
  Request summary_;  // without body and headers
  std::shared_ptr<Exchange> exchange_;
  TimePoint started_;
  bool keep_alive_ = true;
  bool http_1_0_ = false;
  int status_ = 0;  // of the response, once its head is written
  bool streaming_ = false;
  bool response_done_ = false;
  std::string ping_;
  std::chrono::nanoseconds ping_interval_ = std::chrono::nanoseconds::max();
  uint64_t bytes_sent_ = 0;

  // Output.
  std::string out_;
  std::string in_flight_;
  size_t out_payload_ = 0;  // stream bytes within out_, in_flight_
  size_t in_flight_payload_ = 0;
  bool writing_ = false;

  // Deadlines; far away when not in force. One timer serves the earliest.
  TimePoint read_deadline_ = TimePoint::max();
  TimePoint write_deadline_ = TimePoint::max();
  TimePoint ping_deadline_ = TimePoint::max();
  TimePoint armed_ = TimePoint::max();
};

}  // namespace tandem::http
