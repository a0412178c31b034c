// What validates is tested by tests/structured_output with random schemas; here is what is left to choice, and errors.
#include "model/grammar/json_schema.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "model/grammar/matcher.h"

namespace tandem::grammar {
namespace {

absl::StatusOr<std::shared_ptr<const Grammar>> Compile(const char* schema) {
  GrammarBuilder builder;
  JsonText text(&builder);
  const Json parsed = Json::parse(schema);
  auto root = JsonSchema(parsed, builder, text);
  if (!root.ok()) return root.status();
  return std::move(builder).Build(*root);
}

bool Matches(const char* schema, const std::string& text) {
  const auto grammar = Compile(schema);
  EXPECT_TRUE(grammar.ok()) << schema << ": " << grammar.status();
  if (!grammar.ok()) return false;
  Matcher matcher(*grammar);
  return matcher.Accept(text) && matcher.CanEnd();
}

TEST(JsonSchemaTest, PropertiesComeInOrderAndOptionalOnesMayBeMissing) {
  constexpr const char* kSchema =
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"required":["b"]})";
  for (const char* text :
       {R"({"b":null})", R"({"a":null,"b":null})", R"({"b": null, "c": null})", R"({"a":null,"b":null,"c":null})"}) {
    EXPECT_TRUE(Matches(kSchema, text)) << text;
  }
  for (const char* text : {"{}", R"({"a":null})", R"({"b":null,"a":null})", R"({"b":null,})", R"({"b":null,"d":null})",
                           R"({"b":null,"b":null})", R"({,"b":null})", R"({"b":  null})", R"({"b":null)"}) {
    EXPECT_FALSE(Matches(kSchema, text)) << text;
  }
}

TEST(JsonSchemaTest, FurtherPropertiesAreOnesThatAreNotNamed) {
  constexpr const char* kSchema = R"({"type":"object","properties":{"ab":{"type":"null"}},
    "patternProperties":{"^x":{"type":"boolean"}},"additionalProperties":{"type":"integer"}})";
  for (const char* text : {R"({"ab":null,"a":1,"abc":2})", R"({"x1":true,"y":5})", R"({"":7})", R"({"é\"":7})"}) {
    EXPECT_TRUE(Matches(kSchema, text)) << text;
  }
  for (const char* text : {R"({"ab":1})", R"({"x1":1})", R"({"y":true})", R"({"\u0061b":1})", R"({"a":1,"ab":null})"}) {
    EXPECT_FALSE(Matches(kSchema, text)) << text;
  }
}

TEST(JsonSchemaTest, StringsAreWellFormed) {
  constexpr const char* kSchema = R"({"type":"string"})";
  for (const char* text : {R"("")", R"("a\"\\\/\n")", R"("\u00e9\ud83d\ude00")", "\"日本 😀\""}) {
    EXPECT_TRUE(Matches(kSchema, text)) << text;
  }
  for (const char* text :
       {"\"\n\"", R"("\ud83d")", R"("\ude00")", R"("\ud83dx")", R"("\x")", "\"\xC3\"", "\"\xED\xA0\x80\""}) {
    EXPECT_FALSE(Matches(kSchema, text)) << text;
  }
}

TEST(JsonSchemaTest, LengthsCountCodePointsHoweverTheyAreWritten) {
  constexpr const char* kSchema = R"({"type":"string","minLength":2,"maxLength":2})";
  for (const char* text : {R"("ab")", "\"é😀\"", R"("\ud83d\ude00\n")", R"("\u0041b")"}) {
    EXPECT_TRUE(Matches(kSchema, text)) << text;
  }
  for (const char* text : {R"("a")", R"("abc")", "\"😀\"", R"("\ud83d\ude00")"}) {
    EXPECT_FALSE(Matches(kSchema, text)) << text;
  }
}

TEST(JsonSchemaTest, PatternsAreAboutTheContent) {
  constexpr const char* kSchema = R"({"type":"string","pattern":"^[\"\\n]x$"})";
  EXPECT_TRUE(Matches(kSchema, R"("\"x")"));
  EXPECT_TRUE(Matches(kSchema, R"("\nx")"));
  EXPECT_FALSE(Matches(kSchema, R"("nx")"));
  EXPECT_TRUE(Matches(R"({"type":"string","pattern":"b"})", R"("abc")"));
}

TEST(JsonSchemaTest, KeywordsImplyTheTypeTheyAreAbout) {
  EXPECT_TRUE(Matches(R"({"properties":{"a":{"minimum":3}}})", R"({"a":3})"));
  EXPECT_FALSE(Matches(R"({"properties":{"a":{"minimum":3}}})", "1"));
  EXPECT_TRUE(Matches(R"({"title":"anything"})", R"([{"a":[null,true,1e5]}, "x"])"));
  EXPECT_TRUE(Matches(R"({"type":"string","nullable":true})", "null"));
}

TEST(JsonSchemaTest, AlternativesKeepWhatStandsBesideThem) {
  constexpr const char* kSchema = R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},
    "anyOf":[{"required":["a"]},{"required":["b"],"properties":{"b":{"minimum":5}}}]})";
  EXPECT_TRUE(Matches(kSchema, R"({"a":1})"));
  EXPECT_TRUE(Matches(kSchema, R"({"b":5})"));
  EXPECT_TRUE(Matches(kSchema, R"({"a":1,"b":1})"));
  EXPECT_FALSE(Matches(kSchema, R"({"b":1})"));
  EXPECT_FALSE(Matches(kSchema, "{}"));
}

TEST(JsonSchemaTest, AllOfAppliesEachAdditionalPropertiesToItsOwnNames) {
  constexpr const char* kSchema = R"({"allOf":[
    {"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"integer","minimum":0}},
    {"properties":{"a":{"maximum":3},"b":{"maximum":9}}}]})";
  EXPECT_TRUE(Matches(kSchema, R"({"a":-3,"b":9})"));
  EXPECT_FALSE(Matches(kSchema, R"({"a":4})"));
  EXPECT_FALSE(Matches(kSchema, R"({"b":-1})"));
  EXPECT_FALSE(Matches(kSchema, R"({"b":10})"));
}

TEST(JsonSchemaTest, ErrorsNameThePlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"properties":{"a/b":{"not":{}}}})", "#/properties/a~1b/not"},
      {R"({"type":"array","items":{"type":"string","pattern":"("}})", "#/items/pattern"},
      {R"({"allOf":[{"type":"integer"},{"multipleOf":0.5}]})", "#/allOf/1/multipleOf"},
      {R"({"$ref":"#/$defs/x","$defs":{"x":{"type":"text"}}})", "#/$defs/x/type"},
      {R"({"oneOf":[{"type":"string"},{"const":"a"}]})", "#/oneOf"},
      {R"({"type":"object","properties":{"a":5}})", "#/properties/a"},
      {R"({"required":"a"})", "#/required"},
  };
  for (const auto& [schema, place] : cases) {
    const auto grammar = Compile(schema);
    EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument) << schema;
    EXPECT_NE(grammar.status().message().find(place), absl::string_view::npos) << grammar.status();
  }
}

TEST(JsonSchemaTest, HostileSchemasEndInAnError) {
  std::string deep = "{}";
  for (int i = 0; i < 400; ++i) deep = absl::StrCat(R"({"type":"array","items":)", deep, "}");
  EXPECT_FALSE(Compile(deep.c_str()).ok());
  // Alternatives that multiply.
  std::string wide = R"({"allOf":[)";
  for (int i = 0; i < 30; ++i) {
    absl::StrAppend(&wide, i > 0 ? "," : "", R"({"anyOf":[{"properties":{"p)", i,
                    R"(":{"type":"null"}}},{"required":["p)", i, R"("]}]})");
  }
  EXPECT_FALSE(Compile(absl::StrCat(wide, "]}").c_str()).ok());
}

}  // namespace
}  // namespace tandem::grammar
