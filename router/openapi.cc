#include "router/openapi.h"

#include "embedded/openapi_paths.h"
#include "embedded/openapi_schemas.h"

namespace tandem::router {

Json OpenApiDocument(const RequestContext& context, const std::string& version) {
  Json document = Json::parse(embedded::openapi_paths);
  document["info"]["version"] = version;
  Json& schemas = document["components"]["schemas"];
  schemas = Json::parse(embedded::openapi_schemas);
  schemas["TokenId"]["maximum"] = context.vocab_size - 1;
  schemas["ServiceFields"]["properties"]["truncate_prompt_tokens"]["anyOf"][0]["maximum"] = context.max_model_len;
  Json& embedding = schemas["EmbeddingRequest"]["allOf"][1]["properties"];
  embedding["dimensions"]["maximum"] = context.hidden_size;
  return document;
}

}  // namespace tandem::router
