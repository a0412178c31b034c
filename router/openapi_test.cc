#include "router/openapi.h"

#include <gmock/gmock.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "router/testing/http_api_fixture.h"

namespace tandem::router {
namespace {

using OpenApiTest = HttpApiTest;

Json Document() {
  RequestContext context;
  context.vocab_size = 100;
  context.max_model_len = 50;
  context.hidden_size = 8;
  return OpenApiDocument(context, "1.2.3");
}

// What a "$ref" within the document names; null when there is no such thing.
Json Resolve(const Json& document, const std::string& ref) {
  const Json::json_pointer at(ref.substr(1));
  return document.contains(at) ? document.at(at) : Json();
}

void CheckReferences(const Json& document, const Json& part) {
  if (part.is_object() && part.contains("$ref")) {
    EXPECT_FALSE(Resolve(document, part["$ref"]).is_null()) << part["$ref"];
  }
  for (const Json& child : part) {
    if (child.is_structured()) CheckReferences(document, child);
  }
}

std::vector<std::string> DocumentedRoutes(const Json& document) {
  std::vector<std::string> routes;
  for (const auto& [path, item] : document["paths"].items()) {
    const Json resolved = item.contains("$ref") ? Resolve(document, item["$ref"]) : item;
    for (const auto& [method, operation] : resolved.items()) {
      routes.push_back(absl::StrCat(absl::AsciiStrToUpper(method), " ", path));
    }
  }
  return routes;
}

TEST_F(OpenApiTest, EveryRouteIsDocumentedAndEveryDocumentedRouteExists) {
  http::Router router;
  api_->Register(router);
  std::vector<std::string> routes;
  for (const auto& [method, pattern] : router.Routes()) {
    routes.push_back(absl::StrCat(method, " ", absl::StrReplaceAll(pattern, {{"*}", "}"}})));
  }
  EXPECT_THAT(DocumentedRoutes(Document()), testing::UnorderedElementsAreArray(routes));
}

TEST_F(OpenApiTest, ReferencesLeadSomewhere) { CheckReferences(Document(), Document()); }

TEST_F(OpenApiTest, LimitsAreThoseOfTheServer) {
  const Json document = Document();
  EXPECT_EQ(document["info"]["version"], "1.2.3");
  EXPECT_EQ(document["components"]["schemas"]["TokenId"]["maximum"], 99);
  const std::string text = document.dump();
  EXPECT_THAT(text, testing::HasSubstr(R"("minimum":1,"maximum":50)"));
  EXPECT_THAT(text, testing::HasSubstr(
                        R"("minimum":1,"description":"Only the first components, of length 1 again","maximum":8)"));
}

TEST_F(OpenApiTest, TheServerPublishesIt) {
  const Json served = Body(Ask(http::Get("/openapi.json")));
  EXPECT_EQ(served["openapi"], "3.1.0");
  EXPECT_EQ(served["components"]["schemas"]["TokenId"]["maximum"], engine_.vocab_size() - 1);
}

// The parsers and the document must not drift apart: a field that a parser does not know is named as ignored.
TEST_F(OpenApiTest, EveryDocumentedFieldOfARequestIsKnown) {
  const Json schemas = Document()["components"]["schemas"];
  RequestContext context;
  context.model_names = {"tiny"};
  context.vocab_size = 100;
  for (const char* name : {"ServiceFields", "SamplingFields"}) {
    for (const auto& [field, schema] : schemas[name]["properties"].items()) {
      Json request = {{"prompt", "x"}};
      request[field] = nullptr;
      const auto parsed = ParseTextRequest(request, context);
      ASSERT_TRUE(parsed.ok()) << parsed.status();
      EXPECT_THAT(parsed->ignored, testing::IsEmpty()) << field;
    }
  }
}

}  // namespace
}  // namespace tandem::router
