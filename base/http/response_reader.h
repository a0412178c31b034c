// What both clients do with the bytes of a response: a plain body is collected, an event stream is handed out event by
// event. Internal to base/http.
#pragma once

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "base/http/client.h"

namespace tandem::http {

class ResponseReader {
 public:
  using Parser = boost::beast::http::response_parser<boost::beast::http::string_body>;

  // `on_event` may be empty: event streams are then collected like any body.
  explicit ResponseReader(std::function<bool(absl::string_view data)> on_event) : on_event_(std::move(on_event)) {
    parser_.body_limit(kMaxBodyBytes);
  }

  // Beast reads into it.
  Parser& parser() { return parser_; }

  // The head is complete.
  void OnHeader() {
    response_.status = parser_.get().result_int();
    for (const auto& field : parser_.get().base()) {
      response_.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    }
    events_ =
        on_event_ != nullptr && absl::StartsWith(FindHeader(response_.headers, "Content-Type"), "text/event-stream");
    if (events_) {
      parser_.body_limit(std::numeric_limits<uint64_t>::max());
    }
  }

  // More of the body has come (or none yet). False when there is nothing more to read: the response is complete, or
  // `on_event` wants no more.
  bool OnBody() {
    const std::string bytes = std::exchange(parser_.get().body(), "");
    if (!events_) {
      response_.body += bytes;
    } else if (!event_parser_.Push(bytes, on_event_)) {
      return false;
    }
    return !parser_.is_done();
  }

  ClientResponse& response() { return response_; }

 private:
  static constexpr uint64_t kMaxBodyBytes = 256 << 20;

  const std::function<bool(absl::string_view data)> on_event_;
  Parser parser_;
  EventParser event_parser_;
  ClientResponse response_;
  bool events_ = false;
};

}  // namespace tandem::http
