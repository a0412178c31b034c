#include "router/embedding_parser.h"

#include <utility>

#include "base/status.h"
#include "router/field_reader.h"
#include "router/prompt_fields.h"
#include "router/sampling_fields.h"

namespace tandem::router {
namespace {

constexpr size_t kMaxInputs = 2048;  // OpenAI's limit

absl::Status ReadOutput(FieldReader& fields, const RequestContext& context, ApiEmbeddingRequest& out) {
  std::string encoding = "float";
  RETURN_IF_ERROR(fields.String("encoding_format", {}, encoding));
  if (encoding != "float" && encoding != "base64") {
    return fields.Invalid("encoding_format", "one of float, base64");
  }
  out.encoding = encoding == "float" ? EmbeddingEncoding::kFloat : EmbeddingEncoding::kBase64;
  std::string pooling = "last";
  RETURN_IF_ERROR(fields.String("pooling", {}, pooling));
  if (pooling != "last" && pooling != "mean") {
    return fields.Invalid("pooling", "one of last, mean");
  }
  out.embedding.pooling = pooling == "last" ? Pooling::kLast : Pooling::kMean;
  return fields.Int("dimensions", {1, context.hidden_size}, out.embedding.dimensions);
}

}  // namespace

absl::StatusOr<ApiEmbeddingRequest> ParseEmbeddingRequest(const Json& json, const RequestContext& context) {
  FieldReader fields(json);
  ApiEmbeddingRequest request;
  std::string model;
  RETURN_IF_ERROR(fields.String("model", {}, model));
  ASSIGN_OR_RETURN(request.model, ResolveModel(model, context));
  RETURN_IF_ERROR(ReadOutput(fields, context, request));
  EmbeddingRequest& embedding = request.embedding;
  RETURN_IF_ERROR(ReadTruncation(fields, context.max_model_len, embedding.truncate_prompt_tokens));
  RETURN_IF_ERROR(ReadService(fields, embedding.priority, embedding.user, embedding.cache_salt));
  ASSIGN_OR_RETURN(embedding.inputs, ReadPrompts(fields, "input", kMaxInputs, context.vocab_size));
  request.ignored = fields.Unknown();
  return request;
}

}  // namespace tandem::router
