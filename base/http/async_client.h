// An asynchronous HTTP/1.1 client for many streams at a time: one thread ("http-client") runs all of them. Every
// request has a connection of its own, opened for it. No TLS, no redirects.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/http/client.h"
#include "base/http/message.h"

namespace tandem::http {

struct AsyncClientOptions {
  Headers headers;                             // sent with every request
  absl::Duration timeout = absl::Minutes(10);  // longest silence of the server
};

// Callbacks of one request. They run on the client's thread, one after the other, and must not block.
struct EventHandler {
  std::function<void()> on_start;  // right before the connection is opened; may be empty
  // The data of a server-sent event; false ends the request and closes its connection.
  std::function<bool(absl::string_view data)> on_event;
  // Once, last. Any status of the server is a response; its body is empty after an event stream. Errors: UNAVAILABLE
  // (no connection, broken answer), DEADLINE_EXCEEDED (silence), CANCELLED (the client is being destroyed).
  std::function<void(absl::StatusOr<ClientResponse>)> on_done;
};

// Thread-safe.
class AsyncClient {
 public:
  // `url` as in Client; its host is resolved here, once. Errors: INVALID_ARGUMENT, UNIMPLEMENTED (https), UNAVAILABLE
  // (unknown host).
  static absl::StatusOr<std::unique_ptr<AsyncClient>> Create(absl::string_view url, AsyncClientOptions options);

  // Cancels what still runs and returns when every on_done has run. Not from a callback.
  virtual ~AsyncClient() = default;

  virtual void PostForEvents(absl::string_view path, absl::string_view json, EventHandler handler) = 0;
};

}  // namespace tandem::http
