// One request of /v1/embeddings over HTTP.
#pragma once

#include <memory>
#include <string>

#include "base/http/message.h"
#include "router/embedding_parser.h"

namespace tandem::router {

// Answers `request` on `writer` when all embeddings are there; a client that goes away ends them.
void RunEmbeddings(CompletionService& service, ApiEmbeddingRequest request,
                   std::shared_ptr<http::ResponseWriter> writer);

}  // namespace tandem::router
