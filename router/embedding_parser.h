// Body of /v1/embeddings.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "router/embedding.h"
#include "router/request_parser.h"

namespace tandem::router {

enum class EmbeddingEncoding { kFloat, kBase64 };

struct ApiEmbeddingRequest {
  std::string model;  // the served name that was asked for
  EmbeddingRequest embedding;
  EmbeddingEncoding encoding = EmbeddingEncoding::kFloat;
  std::vector<std::string> ignored;  // unknown fields
};

// Errors: INVALID_ARGUMENT naming the field, NOT_FOUND (model).
absl::StatusOr<ApiEmbeddingRequest> ParseEmbeddingRequest(const Json& json, const RequestContext& context);

}  // namespace tandem::router
