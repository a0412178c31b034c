// A plain synchronous HTTP/1.1 client for our own tools: JSON requests and server-sent events. No TLS, no redirects.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/http/message.h"
#include "base/http/url.h"

namespace tandem::http {

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};

// One connection per call. Not thread-safe.
class Client {
 public:
  // `url` is "http://host[:port][/prefix]". Errors: INVALID_ARGUMENT; UNIMPLEMENTED for https.
  static absl::StatusOr<Client> Create(absl::string_view url);

  // Sent with every request, for example Authorization.
  void AddHeader(absl::string_view name, absl::string_view value) { headers_.emplace_back(name, value); }
  // Longest silence of the server.
  void SetTimeout(absl::Duration timeout) { timeout_ = timeout; }

  // Any status of the server is a response, not an error. Errors: UNAVAILABLE (no connection, broken answer),
  // DEADLINE_EXCEEDED.
  absl::StatusOr<ClientResponse> Get(absl::string_view path);
  absl::StatusOr<ClientResponse> PostJson(absl::string_view path, absl::string_view json);

  // Posts, and hands the data of every server-sent event to `on_event` as it arrives, until the stream ends or
  // `on_event` returns false (the connection is then closed, which cancels the request). When the answer is not an
  // event stream, its body is returned as by PostJson; else the body is empty.
  absl::StatusOr<ClientResponse> PostForEvents(absl::string_view path, absl::string_view json,
                                               const std::function<bool(absl::string_view data)>& on_event);

 private:
  explicit Client(Url url);

  absl::StatusOr<ClientResponse> Run(absl::string_view method, absl::string_view path, absl::string_view body,
                                     const std::function<bool(absl::string_view data)>& on_event);

  Url url_;
  Headers headers_;
  absl::Duration timeout_ = absl::Minutes(10);
};

// Cuts a stream of bytes into the data of server-sent events. Comments and other fields are skipped.
class EventParser {
 public:
  // Calls `on_event` for every event that `bytes` completes; stops early, and returns false, when it returns false.
  bool Push(absl::string_view bytes, const std::function<bool(absl::string_view data)>& on_event);

 private:
  bool Line(absl::string_view line, const std::function<bool(absl::string_view data)>& on_event);

  std::string line_;
  std::string data_;
  bool has_data_ = false;
};

}  // namespace tandem::http
