#include "model/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace tandem::model {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

constexpr absl::string_view kChatMl =
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

ChatTemplate Make(absl::string_view source, const Json& config = Json()) {
  auto made = ChatTemplate::FromSource(source, config);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

Json Messages(absl::string_view json) { return Json::parse(json.begin(), json.end()); }

std::string TextOf(const ChatTemplate& chat, const Json& messages, const Json& tools = Json(),
                   const ChatTemplateOptions& options = {}) {
  const auto prompt = chat.Render(messages, tools, options);
  return prompt.ok() ? prompt->text : absl::StrCat("ERROR ", prompt.status().message());
}

TEST(ChatTemplateTest, MarksUserTextAndNothingElse) {
  const ChatTemplate chat = Make(kChatMl, {{"bos_token", {{"content", "<s>"}}}});
  const auto prompt = chat.Render(Messages(R"([{"role": "user", "content": "<|im_end|>"}])"), nullptr, {});
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(prompt->text, "<s><|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n");
  std::string joined;
  std::vector<std::string> input;
  for (const PromptSegment& segment : prompt->segments) {
    joined += segment.text;
    if (segment.from_input) {
      input.push_back(segment.text);
    }
  }
  EXPECT_EQ(joined, prompt->text);
  EXPECT_THAT(input, ::testing::ElementsAre("<|im_end|>"));
}

TEST(ChatTemplateTest, KnownRolesMayFormControlTokensUnknownOnesMayNot) {
  const ChatTemplate chat = Make("{% for m in messages %}{{ '<|' + m.role + '|>' }}{% endfor %}");
  const auto prompt = chat.Render(Messages(R"([{"role": "user"}, {"role": "endoftext"}])"), nullptr, {});
  ASSERT_TRUE(prompt.ok());
  ASSERT_EQ(prompt->segments.size(), 3u);
  EXPECT_EQ(prompt->segments[0].text, "<|user|><|");
  EXPECT_TRUE(prompt->segments[1].from_input);
  EXPECT_EQ(prompt->segments[1].text, "endoftext");
}

TEST(ChatTemplateTest, ToolCallArgumentsBecomeObjects) {
  const ChatTemplate chat = Make("{% for c in messages[0].tool_calls %}{{ c.function.arguments|tojson }};{% endfor %}");
  EXPECT_EQ(TextOf(chat, Messages(R"([{"role": "assistant", "tool_calls": [
      {"function": {"name": "f", "arguments": "{\"a\": 1}"}},
      {"function": {"name": "f", "arguments": {"b": 2}}},
      {"function": {"name": "f", "arguments": "not json"}}]}])")),
            "{\"a\": 1};{\"b\": 2};\"not json\";");
}

TEST(ChatTemplateTest, EmptyToolsAreNone) {
  const ChatTemplate chat = Make("{{ tools is none }}{{ tools is defined }}{{ documents is none }}");
  EXPECT_EQ(TextOf(chat, Json::array(), Json::array()), "TrueTrueTrue");
  EXPECT_EQ(TextOf(chat, Json::array(), Json::array({1})), "FalseTrueTrue");
}

TEST(ChatTemplateTest, KwargsReachTheTemplate) {
  const ChatTemplate chat = Make("{{ enable_thinking }}{{ eos_token }}", {{"eos_token", "</s>"}});
  ChatTemplateOptions options;
  options.template_kwargs = {{"enable_thinking", false}};
  EXPECT_EQ(TextOf(chat, Json::array(), nullptr, options), "False</s>");
  EXPECT_TRUE(chat.Mentions("enable_thinking"));
  EXPECT_FALSE(chat.Mentions("tools"));
}

TEST(ChatTemplateTest, ContinuesTheFinalMessage) {
  const ChatTemplate chat = Make(kChatMl);
  ChatTemplateOptions options;
  options.add_generation_prompt = false;
  options.continue_final_message = true;
  EXPECT_EQ(TextOf(chat, Messages(R"([{"role": "assistant", "content": "So far "}])"), nullptr, options),
            "<|im_start|>assistant\nSo far ");
  const ChatTemplate trimming = Make("{{ messages[0].content|trim }}<end>");
  EXPECT_EQ(TextOf(trimming, Messages(R"([{"role": "assistant", "content": " So far "}])"), nullptr, options),
            "So far");
  EXPECT_THAT(TextOf(Make("fixed"), Messages(R"([{"role": "assistant", "content": "So far"}])"), nullptr, options),
              HasSubstr("changes the last message"));
  EXPECT_THAT(TextOf(chat, Json::array(), nullptr, options), HasSubstr("needs a last message"));
  options.add_generation_prompt = true;
  EXPECT_THAT(TextOf(chat, Json::array(), nullptr, options), HasSubstr("exclude each other"));
}

TEST(ChatTemplateTest, NamedTemplatesAreChosenByTools) {
  const ChatTemplate chat = Make("", Json::parse(R"({"chat_template": [
      {"name": "default", "template": "plain"}, {"name": "tool_use", "template": "with tools"}]})"));
  EXPECT_EQ(TextOf(chat, Json::array()), "plain");
  EXPECT_EQ(TextOf(chat, Json::array(), Json::array({1})), "with tools");
}

TEST(ChatTemplateTest, ErrorsSayWhatToDo) {
  const auto missing = ChatTemplate::FromSource("", Json());
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("chat_template.jinja"));
  const auto broken = ChatTemplate::FromSource("\n{% if %}", Json());
  EXPECT_EQ(broken.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(broken.status().message()), HasSubstr("line 2"));
  EXPECT_EQ(ChatTemplate::FromSource("", Json::parse(R"({"chat_template": [{"name": 1}]})")).status().code(),
            absl::StatusCode::kInvalidArgument);
  const ChatTemplate strict = Make("a\n{{ raise_exception('roles must alternate') }}");
  EXPECT_THAT(TextOf(strict, Json::array()), HasSubstr("line 2: roles must alternate"));
  EXPECT_THAT(TextOf(strict, Json::object()), HasSubstr("messages must be a list"));
}

class ModelDirTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* const info = ::testing::UnitTest::GetInstance()->current_test_info();
    dir_ = std::filesystem::path(::testing::TempDir()) / absl::StrCat("chat_template_", info->name(), "_", getpid());
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void Write(const std::string& name, const std::string& text) { std::ofstream(dir_ / name) << text; }

  std::filesystem::path dir_;
};

TEST_F(ModelDirTest, TheJinjaFileWins) {
  Write("tokenizer_config.json", R"({"chat_template": "config {{ bos_token }}", "bos_token": "<s>"})");
  auto loaded = ChatTemplate::Load(dir_.string());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(TextOf(*loaded, Json::array()), "config <s>");
  Write("chat_template.jinja", "file {{ bos_token }}");
  loaded = ChatTemplate::Load(dir_.string());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(TextOf(*loaded, Json::array()), "file <s>");
}

TEST_F(ModelDirTest, MissingAndBrokenFilesAreReported) {
  EXPECT_EQ(ChatTemplate::Load(dir_.string()).status().code(), absl::StatusCode::kFailedPrecondition);
  Write("tokenizer_config.json", "{");
  EXPECT_EQ(ChatTemplate::Load(dir_.string()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem::model
