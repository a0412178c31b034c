#include "router/tool_request.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

constexpr char kTool[] =
    R"({"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}})";

absl::StatusOr<ToolRequest> Read(const std::string& json) {
  const Json object = Json::parse(json);
  FieldReader fields(object);
  return ReadToolRequest(fields);
}

// The field that is complained about.
std::string ErrorField(const std::string& json) {
  const auto request = Read(json);
  return request.ok() ? "none" : absl::StrCat(ApiCode(request.status()), " ", ApiParam(request.status()));
}

std::string WithTools(absl::string_view fields) { return absl::StrCat(R"({"tools":[)", kTool, "]", fields, "}"); }

TEST(ToolRequestTest, WithoutToolsThereAreNoCalls) {
  const auto request = Read(R"({"parallel_tool_calls":true,"function_call":"auto","tools":null})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(request->tools.is_null());
  EXPECT_EQ(request->choice, ToolChoice::kNone);
}

TEST(ToolRequestTest, ReadsTheChoice) {
  EXPECT_EQ(Read(WithTools(""))->choice, ToolChoice::kAuto);
  EXPECT_EQ(Read(WithTools(R"(,"tool_choice":"auto")"))->choice, ToolChoice::kAuto);
  EXPECT_EQ(Read(WithTools(R"(,"tool_choice":"none")"))->choice, ToolChoice::kNone);
  EXPECT_EQ(Read(WithTools(R"(,"tool_choice":"required")"))->choice, ToolChoice::kRequired);
  const auto named =
      Read(WithTools(R"(,"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false)"));
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->choice, ToolChoice::kNamed);
  EXPECT_EQ(named->name, "f");
  EXPECT_FALSE(named->parallel);
  EXPECT_EQ(named->tools.size(), 1u);
}

TEST(ToolRequestTest, WrongToolsAreNamed) {
  EXPECT_EQ(ErrorField(R"({"tools":[]})"), "invalid_value tools");
  EXPECT_EQ(ErrorField(R"({"tools":{}})"), "invalid_value tools");
  EXPECT_EQ(ErrorField(R"({"tools":["f"]})"), "invalid_value tools[0]");
  EXPECT_EQ(ErrorField(R"({"tools":[{"type":"web_search"}]})"), "invalid_value tools[0]");
  EXPECT_EQ(ErrorField(R"({"tools":[{"type":"function"}]})"), "invalid_value tools[0].function");
  const auto function = [](absl::string_view members) {
    return ErrorField(absl::StrCat(R"({"tools":[{"type":"function","function":{)", members, "}}]}"));
  };
  EXPECT_EQ(function(""), "invalid_value tools[0].function.name");
  EXPECT_EQ(function(R"("name":5)"), "invalid_value tools[0].function.name");
  EXPECT_EQ(function(R"("name":"two words")"), "invalid_value tools[0].function.name");
  EXPECT_EQ(function(absl::StrCat(R"("name":")", std::string(65, 'a'), "\"")), "invalid_value tools[0].function.name");
  EXPECT_EQ(function(R"("name":"f","parameters":[])"), "invalid_value tools[0].function.parameters");
  EXPECT_EQ(function(R"("name":"f","parameters":{"type":"string"})"), "invalid_value tools[0].function.parameters");
  EXPECT_EQ(function(R"("name":"f","description":1)"), "invalid_value tools[0].function.description");
  EXPECT_EQ(function(R"("name":"f","strict":1)"), "invalid_value tools[0].function.strict");
  EXPECT_EQ(function(R"("name":"f","strict":null,"parameters":null)"), "none");
  EXPECT_EQ(ErrorField(absl::StrCat(R"({"tools":[)", kTool, ",", kTool, "]}")), "invalid_value tools[1].function.name");
}

TEST(ToolRequestTest, WrongChoicesAreNamed) {
  EXPECT_EQ(ErrorField(R"({"tool_choice":"auto"})"), "invalid_value tool_choice");
  EXPECT_EQ(ErrorField(R"({"tool_choice":"none"})"), "none");
  EXPECT_EQ(ErrorField(WithTools(R"(,"tool_choice":"always")")), "invalid_value tool_choice");
  EXPECT_EQ(ErrorField(WithTools(R"(,"tool_choice":{"type":"allowed_tools"})")), "invalid_value tool_choice");
  EXPECT_EQ(ErrorField(WithTools(R"(,"tool_choice":{"type":"function","function":{"name":"g"}})")),
            "invalid_value tool_choice");
  EXPECT_EQ(ErrorField(WithTools(R"(,"parallel_tool_calls":1)")), "invalid_value parallel_tool_calls");
}

TEST(ToolRequestTest, TheOlderFieldsAreRefused) {
  EXPECT_EQ(ErrorField(R"({"functions":[{"name":"f"}]})"), "invalid_value functions");
  EXPECT_EQ(ErrorField(R"({"function_call":{"name":"f"}})"), "invalid_value function_call");
}

}  // namespace
}  // namespace tandem::router
