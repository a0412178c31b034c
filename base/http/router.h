// Maps (method, path) to handlers. Filled before the server starts, read-only afterwards.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/http/message.h"

namespace tandem::http {

// Runs on a server thread: must hand longer work to another one.
using Handler = std::function<void(Request request, std::shared_ptr<ResponseWriter> writer)>;

// Looks at a request before its handler; a response ends it there (authorisation, CORS preflight).
using Filter = std::function<std::optional<Response>(const Request& request)>;

// Renders an error that no handler made: 400, 404, 405, 408, 413, 431, 500, 501, 503.
using ErrorRenderer = std::function<Response(int status, absl::string_view message)>;

Response PlainError(int status, absl::string_view message);

class Router {
 public:
  // `pattern` is a path whose segments may be {name} (one segment) or, at the end, {name*} (all that is left, slashes
  // included). HEAD is answered by the GET handler.
  void Add(absl::string_view method, absl::string_view pattern, Handler handler);
  void SetFilter(Filter filter) { filter_ = std::move(filter); }
  void SetErrorRenderer(ErrorRenderer renderer) { error_ = std::move(renderer); }

  struct Match {
    const Handler* handler = nullptr;
    std::string allowed_methods;  // not empty when only the method was wrong
  };

  // Finds the handler and sets request.route and request.params.
  Match Resolve(Request& request) const;

  // (method, pattern) of everything that was added.
  std::vector<std::pair<std::string, std::string>> Routes() const;

  // Runs the filter, then the handler; or answers 404 or 405.
  void Dispatch(const Match& match, Request request, std::shared_ptr<ResponseWriter> writer) const;

  Response Error(int status, absl::string_view message) const { return error_(status, message); }

 private:
  struct Route {
    std::string method;
    std::string pattern;
    std::vector<std::string> segments;
    Handler handler;
  };

  std::vector<Route> routes_;
  Filter filter_;
  ErrorRenderer error_ = PlainError;
};

}  // namespace tandem::http
