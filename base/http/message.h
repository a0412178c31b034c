// HTTP messages as plain data, and the interface through which a handler answers.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tandem::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

// First value of a header, names compared without case; empty when absent.
absl::string_view FindHeader(const Headers& headers, absl::string_view name);

// Decodes %XX; malformed escapes stay as they are.
std::string PercentDecode(absl::string_view text);

// `given` when it is safe to log and to send back (printable, at most 128 bytes); else a new random id.
std::string UsableRequestId(absl::string_view given);

struct Request {
  std::string method;                         // upper case, as sent
  std::string path;                           // without query, still percent-encoded
  std::string query;                          // what follows '?', not decoded
  Headers headers;                            // in order of arrival
  std::string body;                           // complete
  std::string id;                             // X-Request-Id of the client, or a generated one; echoed in the response
  std::string route;                          // pattern that matched, for metrics; empty when none did
  std::map<std::string, std::string> params;  // decoded values of the pattern's {names}

  absl::string_view Header(absl::string_view name) const { return FindHeader(headers, name); }
  // Decoded value of `name` in the query ("" for a bare name); nullopt when absent.
  std::optional<std::string> QueryParam(absl::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  Headers headers;  // besides Content-Type, Content-Length, Connection, Date and X-Request-Id
};

// What a streamed response begins with.
struct StreamHead {
  int status = 200;
  std::string content_type;
  Headers headers;
  // `ping` is sent whenever the stream was silent for this long; a dead peer is thereby noticed.
  absl::Duration ping_interval = absl::InfiniteDuration();
  std::string ping;
};

// Answers one request: either Send, or StartStream, Write…, End. Thread-safe; calls never block. Once the client is
// gone all calls are ignored. Dropping the last reference without an answer sends status 500 (or cuts a begun stream).
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;

  virtual void Send(Response response) = 0;

  virtual void StartStream(StreamHead head) = 0;
  // Queues bytes of the stream. False when the response is over: client gone, or so slow that its queue overflowed.
  virtual bool Write(absl::string_view data) = 0;
  virtual void End() = 0;

  // `callback` runs once if the client goes away before the response is complete, at once if it already has; it is
  // dropped, uncalled, when the response completes. It may run on any thread, and must not block.
  virtual void OnClose(std::function<void()> callback) = 0;
};

// One line per finished request, for logs and metrics.
struct RequestSummary {
  std::string method;
  std::string path;
  std::string route;
  std::string id;
  int status = 0;  // 499 when the client went away first
  uint64_t bytes_sent = 0;
  absl::Duration duration;
};

}  // namespace tandem::http
