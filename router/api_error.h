// Errors as API clients see them. Inside, an error is an absl::Status; what the status code alone cannot say (the short
// code, the field) travels in its payloads. One table maps statuses to HTTP; gRPC uses the status code itself.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tandem::router {

struct ApiError {
  int http_status = 500;
  std::string type;     // "invalid_request_error", …
  std::string code;     // "invalid_value", "queue_full", …
  std::string message;  // safe to show
  std::string param;    // the field at fault; empty when none
  std::optional<int> retry_after_seconds;
};

// Attaches the short code, and the field at fault when there is one.
absl::Status WithApiCode(absl::Status status, absl::string_view code, absl::string_view param = "");

// INVALID_ARGUMENT, code invalid_value.
absl::Status InvalidField(absl::string_view param, absl::string_view message);

// UNIMPLEMENTED, code unsupported_parameter.
absl::Status UnsupportedField(absl::string_view param);

// The short code of a status, if it carries one.
std::string ApiCode(const absl::Status& status);
std::string ApiParam(const absl::Status& status);

ApiError ToApiError(const absl::Status& status);

// The OpenAI envelope: {"error":{"message","type","param","code"}}, null where empty.
std::string ErrorJson(const ApiError& error);

}  // namespace tandem::router
