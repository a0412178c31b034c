#include "base/http/router.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tandem::http {
namespace {

using Params = std::map<std::string, std::string>;

bool MatchPath(const std::vector<std::string>& pattern, absl::string_view path, Params& params) {
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (!absl::ConsumePrefix(&path, "/")) {
      return false;
    }
    absl::string_view name = pattern[i];
    const bool is_param = absl::ConsumePrefix(&name, "{") && absl::ConsumeSuffix(&name, "}");
    if (is_param && absl::ConsumeSuffix(&name, "*")) {
      params[std::string(name)] = PercentDecode(path);
      return !path.empty();
    }
    const absl::string_view segment = path.substr(0, path.find('/'));
    path.remove_prefix(segment.size());
    if (is_param) {
      params[std::string(name)] = PercentDecode(segment);
    } else if (PercentDecode(segment) != pattern[i]) {
      return false;
    }
  }
  return path.empty();
}

}  // namespace

Response PlainError(int status, absl::string_view message) {
  return {.status = status,
          .content_type = "text/plain; charset=utf-8",
          .body = absl::StrCat(message, "\n"),
          .headers = {}};
}

void Router::Add(absl::string_view method, absl::string_view pattern, Handler handler) {
  std::vector<std::string> segments = absl::StrSplit(absl::StripPrefix(pattern, "/"), '/');
  routes_.push_back({std::string(method), std::string(pattern), std::move(segments), std::move(handler)});
}

Router::Match Router::Resolve(Request& request) const {
  Match match;
  for (const Route& route : routes_) {
    Params params;
    if (!MatchPath(route.segments, request.path, params)) {
      continue;
    }
    request.route = route.pattern;
    if (route.method == request.method || (route.method == "GET" && request.method == "HEAD")) {
      request.params = std::move(params);
      match.handler = &route.handler;
      return match;
    }
    absl::StrAppend(&match.allowed_methods, match.allowed_methods.empty() ? "" : ", ", route.method);
  }
  return match;
}

std::vector<std::pair<std::string, std::string>> Router::Routes() const {
  std::vector<std::pair<std::string, std::string>> routes;
  for (const Route& route : routes_) {
    routes.emplace_back(route.method, route.pattern);
  }
  return routes;
}

void Router::Dispatch(const Match& match, Request request, std::shared_ptr<ResponseWriter> writer) const {
  if (filter_) {
    if (std::optional<Response> answer = filter_(request)) {
      writer->Send(*std::move(answer));
      return;
    }
  }
  if (match.handler != nullptr) {
    (*match.handler)(std::move(request), std::move(writer));
    return;
  }
  if (match.allowed_methods.empty()) {
    writer->Send(error_(404, absl::StrCat("no such path: ", request.path)));
    return;
  }
  Response response = error_(405, absl::StrCat("method ", request.method, " is not allowed for ", request.path,
                                               "; use ", match.allowed_methods));
  response.headers.emplace_back("Allow", match.allowed_methods);
  writer->Send(std::move(response));
}

}  // namespace tandem::http
