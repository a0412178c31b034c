// The OpenAPI document of the HTTP API: router/openapi/*.json, completed with what only a running server knows.
#pragma once

#include <string>

#include "router/request_parser.h"

namespace tandem::router {

// The limits of `context` (vocabulary, context length, size of embeddings) stand in it.
Json OpenApiDocument(const RequestContext& context, const std::string& version);

}  // namespace tandem::router
