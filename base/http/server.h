// An asynchronous HTTP/1.1 server on Boost.Asio, with Beast's parser: keep-alive, pipelining, chunked streams.
//
// Threads: `threads` named "http-N" run every connection; handlers run there too and must not block. A stream costs
// memory only, no thread. While a request is being answered the connection goes on reading, so that a client that goes
// away (closes, or half-closes) is noticed at once, also when nothing is being written.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/http/message.h"
#include "base/http/router.h"

namespace tandem::http {

struct ServerOptions {
  std::string host = "127.0.0.1";  // numeric address; "::" and "0.0.0.0" listen everywhere
  uint16_t port = 0;               // 0: any free one
  int threads = 1;
  int max_connections = 16384;  // one more gets 503
  size_t max_header_bytes = 32 << 10;
  size_t max_body_bytes = 16 << 20;
  size_t max_write_queue_bytes = 1 << 20;             // a stream with more unsent bytes than this is cut
  absl::Duration header_timeout = absl::Seconds(20);  // from the first byte of a request (or the connection)
  absl::Duration body_timeout = absl::Seconds(60);
  absl::Duration idle_timeout = absl::Seconds(75);   // between requests
  absl::Duration write_timeout = absl::Seconds(30);  // a write without end for so long: client gone
  Headers common_headers;                            // added to every response
  std::function<void(const RequestSummary&)> on_finished;
};

class Server {
 public:
  // Listens and serves. Errors: INVALID_ARGUMENT (host), UNAVAILABLE (port in use, with advice).
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options, Router router);

  virtual ~Server() = default;  // Shutdown(0)

  virtual uint16_t port() const = 0;

  // Stops accepting, closes idle connections, lets running requests finish until `grace` has passed, then cuts the rest
  // (their OnClose callbacks run). Returns when every connection is closed. True if nothing had to be cut.
  virtual bool Shutdown(absl::Duration grace) = 0;
};

}  // namespace tandem::http
