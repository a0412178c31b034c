#include "router/chat_messages.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

Json Normalised(const char* messages) {
  const Json json = Json::parse(messages);
  const auto normalised = NormaliseMessages(&json);
  EXPECT_TRUE(normalised.ok()) << normalised.status();
  return normalised.ok() ? *normalised : Json();
}

std::string ErrorField(const std::string& message) {
  const Json json = Json::parse(absl::StrCat("[", message, "]"));
  return ApiParam(NormaliseMessages(&json).status());
}

TEST(ChatMessagesTest, ToolCallsAreCompleted) {
  const Json messages =
      Normalised(R"([{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f"}}]},
      {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"42"}]}])");
  EXPECT_EQ(messages[0]["tool_calls"][0],
            Json::parse(R"({"id":"1","function":{"name":"f","arguments":"{}"},"type":"function"})"));
  EXPECT_EQ(messages[1]["content"], "42");
}

TEST(ChatMessagesTest, NoToolCallsAreNoField) {
  for (const char* calls : {"null", "[]"}) {
    const std::string message = absl::StrCat(R"([{"role":"assistant","content":"a","tool_calls":)", calls, "}]");
    EXPECT_FALSE(Normalised(message.c_str())[0].contains("tool_calls"));
  }
}

TEST(ChatMessagesTest, ReasoningHasOneName) {
  const Json messages = Normalised(R"([{"role":"assistant","content":"a","reasoning":"b"}])");
  EXPECT_EQ(messages[0], Json::parse(R"({"role":"assistant","content":"a","reasoning_content":"b"})"));
}

TEST(ChatMessagesTest, IdsCanBeShortened) {
  Json messages = Json::parse(R"([{"role":"assistant","tool_calls":[{"id":"call_1"},{"id":"abcDEF123"},{}]},
      {"role":"tool","tool_call_id":"call_1"},{"role":"tool","tool_call_id":"call_2"}])");
  ShortenToolCallIds(messages);
  const std::string id = messages[1]["tool_call_id"];
  EXPECT_THAT(id, testing::MatchesRegex("[0-9A-Za-z]{9}"));
  EXPECT_EQ(messages[0]["tool_calls"][0]["id"], id);
  EXPECT_EQ(messages[0]["tool_calls"][1]["id"], "abcDEF123");
  EXPECT_NE(messages[2]["tool_call_id"], id);
}

TEST(ChatMessagesTest, WrongToolCallsAreNamed) {
  const auto error = [](absl::string_view call) {
    return ErrorField(absl::StrCat(R"({"role":"assistant","tool_calls":)", call, "}"));
  };
  EXPECT_EQ(error("{}"), "messages[0].tool_calls");
  EXPECT_EQ(error("[1]"), "messages[0].tool_calls");
  EXPECT_EQ(error(R"([{"function":{"arguments":"{}"}}])"), "messages[0].tool_calls");
  EXPECT_EQ(error(R"([{"function":{"name":"f","arguments":[]}}])"), "messages[0].tool_calls");
  EXPECT_EQ(error(R"([{"id":1,"function":{"name":"f"}}])"), "messages[0].tool_calls");
  EXPECT_EQ(error(R"([{"type":"custom","function":{"name":"f"}}])"), "messages[0].tool_calls");
  EXPECT_EQ(ErrorField(R"({"role":"tool","content":"","tool_call_id":1})"), "messages[0].tool_call_id");
  EXPECT_EQ(ErrorField(R"({"role":"tool","content":null})"), "messages[0].content");
}

}  // namespace
}  // namespace tandem::router
