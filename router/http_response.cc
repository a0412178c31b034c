#include "router/http_response.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "router/api_error.h"

namespace tandem::router {

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

http::Response JsonResponse(const Json& json) { return {.status = 200, .body = Dump(json), .headers = {}}; }

http::Response ErrorResponse(const absl::Status& status) {
  const ApiError error = ToApiError(status);
  http::Response response;
  response.status = error.http_status;
  response.body = ErrorJson(error);
  if (error.retry_after_seconds.has_value()) {
    response.headers.emplace_back("Retry-After", absl::StrCat(*error.retry_after_seconds));
  }
  if (error.http_status == 504) {  // a repeat would repeat the cost
    response.headers.emplace_back("x-should-retry", "false");
  }
  return response;
}

http::Response RenderHttpError(int status, absl::string_view message) {
  ApiError error;
  error.http_status = status;
  error.message = std::string(message);
  error.type = status >= 500 ? "server_error" : "invalid_request_error";
  switch (status) {
    case 404:
      error.type = "not_found_error";
      error.code = "not_found";
      break;
    case 405:
      error.code = "method_not_allowed";
      break;
    case 408:
      error.code = "request_timeout";
      break;
    case 413:
      error.code = "request_too_large";
      break;
    case 431:
      error.code = "headers_too_large";
      break;
    case 503:
      error.type = "service_unavailable";
      error.code = "too_many_connections";
      error.retry_after_seconds = 1;
      break;
    default:
      error.code = status >= 500 ? "internal_error" : "invalid_http";
      break;
  }
  http::Response response = {.status = status, .body = ErrorJson(error), .headers = {}};
  if (error.retry_after_seconds.has_value()) {
    response.headers.emplace_back("Retry-After", absl::StrCat(*error.retry_after_seconds));
  }
  return response;
}

}  // namespace tandem::router
