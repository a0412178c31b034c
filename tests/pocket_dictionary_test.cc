// The bundled model against its golden.json, which an independent float32 forward wrote: template, token ids, the
// strongest logits of the last prompt position, and the greedy answer, in both dtypes.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "model/chat_template.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/testing/local_model.h"

namespace tandem::testing {
namespace {

constexpr char kModelDir[] = "models/pocket-dictionary";

nlohmann::ordered_json GoldenPrompts() {
  const auto text = ReadFile(std::string(kModelDir) + "/golden.json");
  EXPECT_TRUE(text.ok()) << text.status();
  return nlohmann::ordered_json::parse(*text)["prompts"];
}

TEST(PocketDictionary, TemplateAndTokenizerGiveTheGoldenIds) {
  const auto chat_template = model::ChatTemplate::Load(kModelDir);
  const auto tokenizer = model::Tokenizer::Load(kModelDir);
  ASSERT_TRUE(chat_template.ok() && tokenizer.ok());
  for (const auto& prompt : GoldenPrompts()) {
    const auto rendered = chat_template->Render(prompt["messages"], nullptr, {});
    ASSERT_TRUE(rendered.ok()) << rendered.status();
    EXPECT_EQ(rendered->text, prompt["text"].get<std::string>());
    const auto ids = (*tokenizer)->Encode(rendered->text, {.add_special_tokens = false});
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, prompt["token_ids"].get<std::vector<int32_t>>());
    EXPECT_EQ((*tokenizer)->Decode(prompt["greedy_ids"].get<std::vector<int32_t>>()),
              prompt["greedy_text"].get<std::string>());
  }
}

class PocketDictionaryLogits : public ::testing::TestWithParam<std::string> {};

TEST_P(PocketDictionaryLogits, AgreeWithTheGoldenRun) {
  const auto local = LocalModel::Load(kModelDir, GetParam(), 2);
  ASSERT_TRUE(local.ok()) << local.status();
  const int64_t vocab_size = (*local)->spec().vocab_size;
  const double tolerance = GetParam() == "float32" ? 1e-4 : 2e-2;
  for (const auto& prompt : GoldenPrompts()) {
    auto ids = prompt["token_ids"].get<std::vector<int32_t>>();
    const size_t prompt_tokens = ids.size();
    const auto greedy = prompt["greedy_ids"].get<std::vector<int32_t>>();
    ids.insert(ids.end(), greedy.begin(), greedy.end() - 1);
    const auto logits = (*local)->Logits(ids, 512);
    ASSERT_TRUE(logits.ok()) << logits.status();
    const auto row = [&](size_t position) { return logits->begin() + static_cast<int64_t>(position) * vocab_size; };
    const double scale = prompt["top5"][0]["logit"].get<double>();
    for (const auto& entry : prompt["top5"]) {
      EXPECT_NEAR(row(prompt_tokens - 1)[entry["id"].get<int64_t>()], entry["logit"].get<double>(), tolerance * scale)
          << prompt["text"];
    }
    for (size_t step = 0; step < greedy.size(); ++step) {
      const auto begin = row(prompt_tokens - 1 + step);
      EXPECT_EQ(std::max_element(begin, begin + vocab_size) - begin, greedy[step]) << prompt["text"] << ", token " << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, PocketDictionaryLogits, ::testing::Values("float32", "bfloat16"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tandem::testing
