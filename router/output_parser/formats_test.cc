// Every format: what its models write, and what is no call.
#include <gmock/gmock.h>

#include "router/output_parser/testing.h"

namespace tandem::router {
namespace {

using testing::ElementsAre;

const char kWeather[] = R"(arguments:0 {"city": "Oslo"})";

TEST(HermesTest, ReadsCallsBetweenContent) {
  EXPECT_THAT(Parse(ToolFormat::kHermes,
                    "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": "
                    "{\"city\": \"Oslo\"}}\n</tool_call>\n<tool_call>\n{\"arguments\": {\"n\": "
                    "[1, {}]}, \"name\": \"count\"}\n</tool_call>\nDone."),
              ElementsAre("content:Let me see.", "call:0 id0 weather", kWeather, "call:1 id1 count",
                          R"(arguments:1 {"n": [1, {}]})", "content:\nDone."));
}

TEST(HermesTest, AMissingClosingTagOrMissingArgumentsDoNotMatter) {
  EXPECT_THAT(Parse(ToolFormat::kHermes, R"(<tool_call>{"name": "now"})"),
              ElementsAre("call:0 id0 now", "arguments:0 {}"));
}

TEST(HermesTest, ArgumentsMayHoldTheMarkers) {
  EXPECT_THAT(
      Parse(ToolFormat::kHermes, R"(<tool_call>{"name":"f","arguments":{"a":"</tool_call>\"}","b":1}}</tool_call>)"),
      ElementsAre("call:0 id0 f", R"(arguments:0 {"a":"</tool_call>\"}","b":1})"));
}

TEST(HermesTest, LineBreaksInStringsBecomeEscapes) {
  EXPECT_THAT(Parse(ToolFormat::kHermes, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"x\ny\"}}</tool_call>"),
              ElementsAre("call:0 id0 f", R"(arguments:0 {"a":"x\ny"})"));
}

TEST(HermesTest, WhatIsNoCallIsContent) {
  for (const char* text : {
           "<tool_call>\nname: weather\n</tool_call>",
           "<tool_call>{\"function\": \"weather\"}</tool_call>",
           "<tool_call>{\"name\": 5, \"arguments\": {}}</tool_call>",
           "<tool_call>{\"name\": {\"name\": \"f\"}, \"arguments\": {}}</tool_call>",
           "<tool_call>{\"name\": \"f\", \"arguments\": \"text\"}</tool_call>",
           "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
           "<tool_call>{\"arguments\": {}}</tool_call>",
           "<tool_call>{\"name\": \"f\"",
           "<tool_call>",
           "<tool_ca",
           " \n a < b </tool_call> \n ",
       }) {
    EXPECT_THAT(Parse(ToolFormat::kHermes, text), ElementsAre(std::string("content:") + text));
  }
}

TEST(HermesTest, ACallMayFollowWhatIsNone) {
  EXPECT_THAT(
      Parse(ToolFormat::kHermes, R"(<tool_call><tool_call>{"name":"f","arguments":{}}</tool_call><tool_call>oh)"),
      ElementsAre("content:<tool_call>", "call:0 id0 f", "arguments:0 {}", "content:<tool_call>oh"));
}

TEST(HermesTest, BrokenArgumentsGoOutAsTheyAre) {
  EXPECT_THAT(Parse(ToolFormat::kHermes, R"(<tool_call>{"name":"f","arguments":{"a" 1}}</tool_call> and on)"),
              ElementsAre("call:0 id0 f", R"(arguments:0 {"a" 1}})", "content: and on"));
}

TEST(HermesTest, CutOffArgumentsStayCutOff) {
  EXPECT_THAT(Parse(ToolFormat::kHermes, R"(<tool_call>{"name":"f","arguments":{"a": "lo)"),
              ElementsAre("call:0 id0 f", R"(arguments:0 {"a": "lo)"));
}

TEST(DeepSeekV3Test, ReadsCalls) {
  const std::string call =
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": \"Oslo\"}\n```<｜tool▁call▁end｜>";
  EXPECT_THAT(
      Parse(ToolFormat::kDeepSeekV3, "Wait.<｜tool▁calls▁begin｜>" + call + "\n" + call + "<｜tool▁calls▁end｜>"),
      ElementsAre("content:Wait.", "call:0 id0 weather", kWeather, "call:1 id1 weather",
                  R"(arguments:1 {"city": "Oslo"})"));
  EXPECT_THAT(Parse(ToolFormat::kDeepSeekV3, "a ```code``` b<｜tool▁calls▁begin｜>"),
              ElementsAre("content:a ```code``` b<｜tool▁calls▁begin｜>"));
}

TEST(DeepSeekV31Test, ReadsCalls) {
  EXPECT_THAT(Parse(ToolFormat::kDeepSeekV31,
                    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": "
                    "\"Oslo\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><"
                    "｜tool▁calls▁end｜>"),
              ElementsAre("call:0 id0 weather", kWeather, "call:1 id1 now", "arguments:1 {}"));
  EXPECT_THAT(Parse(ToolFormat::kDeepSeekV31, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>no head{}"),
              ElementsAre("content:<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>no head{}"));
}

TEST(KimiK2Test, KeepsTheModelsIdsUnlessTheyRepeat) {
  EXPECT_THAT(
      Parse(ToolFormat::kKimiK2,
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:3<|tool_call_argument_begin|>{\"city\": "
            "\"Oslo\"}<|tool_call_end|><|tool_call_begin|>functions.weather:3<|tool_call_argument_begin|>{}"
            "<|tool_call_end|><|tool_calls_section_end|>"),
      ElementsAre("call:0 functions.weather:3 weather", kWeather, "call:1 id0 weather", "arguments:1 {}"));
}

TEST(MistralTest, ReadsListsAndNamedCalls) {
  EXPECT_THAT(Parse(ToolFormat::kMistral, R"(Hm. [TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}}, )"
                                          R"({"name": "now", "arguments": {}}])"),
              ElementsAre("content:Hm.", "call:0 id0 weather", kWeather, "call:1 id1 now", "arguments:1 {}"));
  EXPECT_THAT(Parse(ToolFormat::kMistral,
                    R"([TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]now[CALL_ID]abc123DEF[ARGS]{})"),
              ElementsAre("call:0 id0 weather", kWeather, "call:1 abc123DEF now", "arguments:1 {}"));
  EXPECT_THAT(Parse(ToolFormat::kMistral, R"([TOOL_CALLS]weather{"city": "Oslo"})"),
              ElementsAre("call:0 id0 weather", kWeather));
  EXPECT_THAT(Parse(ToolFormat::kMistral, "[TOOL_CALLS][]"), ElementsAre("content:[TOOL_CALLS][]"));
  EXPECT_THAT(Parse(ToolFormat::kMistral, R"([TOOL_CALLS][{"name": "now", "arguments": {}}, oops])"),
              ElementsAre("call:0 id0 now", "arguments:0 {}", "content:, oops]"));
}

TEST(Llama3JsonTest, ReadsABareObject) {
  const Json tools = Json::parse(R"([{"type":"function","function":{"name":"weather"}}])");
  const ParserCase options = {.formats = {.tools = ToolFormat::kLlama3Json}, .tools = tools};
  const std::string call = R"({"name": "weather", "parameters": {"city": "Oslo"}})";
  EXPECT_THAT(Parse(options, {"\n" + call}), ElementsAre("call:0 id0 weather", kWeather));
  EXPECT_THAT(Parse(options, {"<|python_tag|>" + call + "; " + call}),
              ElementsAre("call:0 id0 weather", kWeather, "call:1 id1 weather", R"(arguments:1 {"city": "Oslo"})"));
  for (const char* text : {R"({"name": "weather"})", R"({"name": "Bob", "parameters": {}})", R"({"age": 3})",
                           R"(See {"name": "weather", "parameters": {}})", "{", "<|python_tag|>print(1)"}) {
    EXPECT_THAT(Parse(options, {text}), ElementsAre(std::string("content:") + text));
  }
}

const Json kTypedTools = Json::parse(R"([{"type":"function","function":{"name":"f","parameters":{"type":"object",
    "properties":{"text":{"type":"string"},"n":{"type":"integer"}}}}}])");

TEST(Qwen3CoderTest, ReadsParametersByTheirTypes) {
  EXPECT_THAT(Parse({.formats = {.tools = ToolFormat::kQwen3Coder}, .tools = kTypedTools},
                    {"<tool_call>\n<function=f>\n<parameter=text>\n12\n\"x\" <b>\n\n</parameter>\n<parameter=n>\n3\n"
                     "</parameter>\n<parameter=other>\nnot json\n</parameter>\n</function>\n</tool_call>"}),
              ElementsAre("call:0 id0 f", R"(arguments:0 {"text": "12\n\"x\" <b>\n", "n": 3, "other": "not json"})"));
}

TEST(Qwen3CoderTest, NoParametersAndNoCall) {
  EXPECT_THAT(Parse(ToolFormat::kQwen3Coder, "<tool_call><function=f>\n</function></tool_call>"),
              ElementsAre("call:0 id0 f", "arguments:0 {}"));
  EXPECT_THAT(Parse(ToolFormat::kQwen3Coder, "<tool_call><function=f>text</function></tool_call>"),
              ElementsAre("content:<tool_call><function=f>text</function></tool_call>"));
}

TEST(Qwen3CoderTest, AForgottenEndOfTheFunction) {
  EXPECT_THAT(Parse(ToolFormat::kQwen3Coder, "<tool_call><function=f><parameter=a>1</parameter>\n</tool_call> so"),
              ElementsAre("call:0 id0 f", R"(arguments:0 {"a": 1})", "content: so"));
}

TEST(Glm45Test, ReadsKeysAndValues) {
  EXPECT_THAT(Parse({.formats = {.tools = ToolFormat::kGlm45}, .tools = kTypedTools},
                    {"\n<tool_call>f\n<arg_key>text</arg_key>\n<arg_value>12</arg_value>\n<arg_key>n</arg_key>\n"
                     "<arg_value>[3]</arg_value>\n</tool_call><tool_call>now\n</tool_call><tool_call>now</tool_call>"}),
              ElementsAre("call:0 id0 f", R"(arguments:0 {"text": "12", "n": [3]})", "call:1 id1 now", "arguments:1 {}",
                          "call:2 id2 now", "arguments:2 {}"));
  EXPECT_THAT(Parse(ToolFormat::kGlm45, "<tool_call>I think</tool_call>"),
              ElementsAre("content:<tool_call>I think</tool_call>"));
}

}  // namespace
}  // namespace tandem::router
