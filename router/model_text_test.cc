#include "router/model_text.h"

#include <gmock/gmock.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::router {
namespace {

using testing::HasSubstr;

// What a model whose template is `source` makes of the messages; "ERROR …" if it refuses them.
class ModelPromptTemplateTest : public testing::Test {
 protected:
  std::unique_ptr<ModelPromptTemplate> Load(absl::string_view source) {
    const std::string file = absl::StrCat(testing::TempDir(), "/model_text_test.jinja");
    std::ofstream(file) << source;
    auto loaded = ModelPromptTemplate::Load(testing::TempDir(), file);
    TANDEM_CHECK(loaded.ok(), loaded.status().message());
    return *std::move(loaded);
  }

  std::string Render(absl::string_view source, const char* messages) {
    const auto spans = Load(source)->Render(Json::parse(messages), nullptr, {});
    if (!spans.ok()) return absl::StrCat("ERROR ", spans.status().message());
    std::string text;
    for (const PromptSpan& span : *spans) {
      text += span.text;
    }
    return text;
  }
};

constexpr char kCall[] =
    R"([{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"a\": 1}"}}]}])";

TEST_F(ModelPromptTemplateTest, GivesTheTemplateWhatItTakes) {
  EXPECT_EQ(
      Render("{{ messages[0].tool_calls[0].function.arguments | tojson }}{{ messages[0].content is none }}", kCall),
      R"({"a": 1}True)");
  EXPECT_EQ(Render("{{ 'x' + messages[0].tool_calls[0].function.arguments }}{{ messages[0].content is none }}", kCall),
            R"(x{"a": 1}True)")
      << "a template that wants text";
  EXPECT_EQ(Render("{{ messages[0].content + messages[0].tool_calls[0].function.arguments.a | string }}", kCall), "1")
      << "a template that wants no null";
  EXPECT_EQ(Render("{{ messages[0].content + messages[0].tool_calls[0].function.arguments }}", kCall), R"({"a": 1})");
}

TEST_F(ModelPromptTemplateTest, ARefusalIsTheFirstOne) {
  EXPECT_THAT(Render("{% if messages[0].content is none %}{{ raise_exception('no null') }}{% endif %}"
                     "{{ raise_exception('never') }}",
                     kCall),
              HasSubstr("no null"));
}

TEST_F(ModelPromptTemplateTest, TellsTheFormatsOfTheModel) {
  const auto hermes = Load("{{ tools }}<tool_call>\n{\"name\": }</think>");
  EXPECT_EQ(hermes->formats().tools, ToolFormat::kHermes);
  EXPECT_EQ(hermes->formats().reasoning, ReasoningFormat::kThink);
  EXPECT_TRUE(hermes->knows_tools());
  EXPECT_FALSE(Load("{{ messages }}")->knows_tools());
}

}  // namespace
}  // namespace tandem::router
