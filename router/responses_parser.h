// Body of /v1/responses: the part of OpenAI's newer API that needs no state on the server. A request becomes a chat
// request, and goes through its parser.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "router/request_parser.h"

namespace tandem::router {

struct ApiResponsesRequest {
  std::string model;  // the served name that was asked for
  CompletionRequest completion;
  bool stream = false;
  Json shown;                        // fields that the response repeats, with their defaults
  std::vector<std::string> ignored;  // unknown fields
};

// Errors: INVALID_ARGUMENT naming the field, NOT_FOUND (model), UNIMPLEMENTED for what would need state or is not
// supported.
absl::StatusOr<ApiResponsesRequest> ParseResponsesRequest(const Json& json, const RequestContext& context);

}  // namespace tandem::router
