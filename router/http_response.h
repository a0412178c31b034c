// Answers that all endpoints share.
#pragma once

#include "absl/status/status.h"
#include "base/http/message.h"
#include "router/text_codec.h"

namespace tandem::router {

// Bytes that are not UTF-8 become U+FFFD.
std::string Dump(const Json& json);

http::Response JsonResponse(const Json& json);

// The error envelope, with the headers that tell clients whether and when to try again.
http::Response ErrorResponse(const absl::Status& status);

// Errors of the HTTP layer, before there is a status.
http::Response RenderHttpError(int status, absl::string_view message);

}  // namespace tandem::router
