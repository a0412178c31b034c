#include "router/api_error.h"

#include <nlohmann/json.hpp>

namespace tandem::router {
namespace {

constexpr absl::string_view kCodePayload = "tandem/code";
constexpr absl::string_view kParamPayload = "tandem/param";

std::string Payload(const absl::Status& status, absl::string_view name) {
  const auto payload = status.GetPayload(name);
  return payload.has_value() ? std::string(*payload) : "";
}

struct Row {
  absl::StatusCode status;
  int http;
  const char* type;
  const char* code;  // when the status carries none
  int retry_after;   // 0: none
};

constexpr Row kRows[] = {
    {absl::StatusCode::kInvalidArgument, 400, "invalid_request_error", "invalid_value", 0},
    {absl::StatusCode::kOutOfRange, 400, "invalid_request_error", "invalid_value", 0},
    {absl::StatusCode::kFailedPrecondition, 400, "invalid_request_error", "failed_precondition", 0},
    {absl::StatusCode::kUnauthenticated, 401, "authentication_error", "invalid_api_key", 0},
    {absl::StatusCode::kPermissionDenied, 403, "permission_error", "forbidden", 0},
    {absl::StatusCode::kNotFound, 404, "not_found_error", "not_found", 0},
    {absl::StatusCode::kResourceExhausted, 429, "rate_limit_error", "queue_full", 1},
    {absl::StatusCode::kCancelled, 499, "cancelled", "cancelled", 0},
    {absl::StatusCode::kUnimplemented, 501, "not_supported_error", "not_supported", 0},
    {absl::StatusCode::kUnavailable, 503, "service_unavailable", "no_workers", 5},
    {absl::StatusCode::kDeadlineExceeded, 504, "timeout_error", "timeout", 0},
};

nlohmann::ordered_json OrNull(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(text);
}

}  // namespace

absl::Status WithApiCode(absl::Status status, absl::string_view code, absl::string_view param) {
  status.SetPayload(kCodePayload, absl::Cord(code));
  if (!param.empty()) {
    status.SetPayload(kParamPayload, absl::Cord(param));
  }
  return status;
}

absl::Status InvalidField(absl::string_view param, absl::string_view message) {
  return WithApiCode(absl::InvalidArgumentError(message), "invalid_value", param);
}

absl::Status UnsupportedField(absl::string_view param) {
  return WithApiCode(
      absl::UnimplementedError(absl::StrCat("'", param, "' is not supported by this server yet; leave it out")),
      "unsupported_parameter", param);
}

std::string ApiCode(const absl::Status& status) { return Payload(status, kCodePayload); }
std::string ApiParam(const absl::Status& status) { return Payload(status, kParamPayload); }

ApiError ToApiError(const absl::Status& status) {
  ApiError error;
  error.code = ApiCode(status);
  error.param = ApiParam(status);
  for (const Row& row : kRows) {
    if (row.status != status.code()) {
      continue;
    }
    error.http_status = row.http;
    error.type = row.type;
    error.message = std::string(status.message());
    if (error.code.empty()) error.code = row.code;
    if (row.retry_after > 0) error.retry_after_seconds = row.retry_after;
    return error;
  }
  // Whatever it was, its text is for the log, not for clients.
  error.type = "server_error";
  error.message = "the server failed on this request; its log says why";
  if (error.code.empty()) error.code = "internal_error";
  return error;
}

std::string ErrorJson(const ApiError& error) {
  const nlohmann::ordered_json json = {{"error",
                                        {{"message", error.message},
                                         {"type", error.type},
                                         {"param", OrNull(error.param)},
                                         {"code", OrNull(error.code)}}}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace tandem::router
