#include "cli/load/workload.h"

#include <gmock/gmock.h>

#include <set>

namespace tandem::cli {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;
using testing::Lt;

TokenPrompt Tokens(const Workload& workload, int64_t index) {
  return std::get<TokenPrompt>(workload.Request(index).prompt);
}

TEST(LengthRangeTest, ReadsNumbersAndRanges) {
  const auto one = ParseLengthRange("128");
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->min, 128);
  EXPECT_EQ(one->max, 128);
  const auto range = ParseLengthRange("64:256");
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->min, 64);
  EXPECT_EQ(range->max, 256);
  for (const char* bad : {"", "0", "-3", "x", "5:", ":5", "9:3", "1:2:3", "1:99999999"}) {
    EXPECT_EQ(ParseLengthRange(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(SyntheticWorkloadTest, LengthsAndIdsAreWithinTheirRanges) {
  const auto workload = MakeSyntheticWorkload({.input = {3, 9}, .output = {2, 4}, .vocab_size = 50});
  std::set<size_t> lengths;
  std::set<int> outputs;
  for (int i = 0; i < 200; ++i) {
    const LoadRequest request = workload->Request(i);
    const auto& tokens = std::get<TokenPrompt>(request.prompt);
    EXPECT_THAT(tokens, Each(AllOf(Ge(0), Lt(50))));
    lengths.insert(tokens.size());
    outputs.insert(request.max_tokens);
    EXPECT_TRUE(request.ignore_eos);
  }
  EXPECT_THAT(lengths, ElementsAre(3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(outputs, ElementsAre(2, 3, 4));
}

TEST(SyntheticWorkloadTest, IndexAndSeedDecideTheRequest) {
  const SyntheticOptions options = {.seed = 5};
  SyntheticOptions other = options;
  other.seed = 6;
  const auto workload = MakeSyntheticWorkload(options);
  EXPECT_EQ(Tokens(*workload, 3), Tokens(*MakeSyntheticWorkload(options), 3));
  EXPECT_NE(Tokens(*workload, 3), Tokens(*workload, 4));
  EXPECT_NE(Tokens(*workload, 3), Tokens(*MakeSyntheticWorkload(other), 3));
}

TEST(SyntheticWorkloadTest, AllPromptsBeginWithTheSharedPrefix) {
  const auto workload = MakeSyntheticWorkload({.input = {8, 8}, .shared_prefix = 100});
  const TokenPrompt first = Tokens(*workload, 0);
  const TokenPrompt second = Tokens(*workload, 1);
  ASSERT_EQ(first.size(), 108);
  EXPECT_TRUE(std::equal(first.begin(), first.begin() + 100, second.begin()));
  EXPECT_FALSE(std::equal(first.begin() + 100, first.end(), second.begin() + 100));
}

TEST(PromptFileTest, TextsBecomeUserMessagesOrPrompts) {
  const auto chat = ParsePrompts("What is a piano?\n\n  two \n", "file", {.max_tokens = 9});
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(std::get<ChatMessages>((*chat)->Request(0).prompt).messages.dump(),
            R"([{"role":"user","content":"What is a piano?"}])");
  EXPECT_EQ((*chat)->Request(0).max_tokens, 9);
  EXPECT_EQ(std::get<ChatMessages>((*chat)->Request(3).prompt).messages[0]["content"], "two") << "lines come again";
  const auto plain = ParsePrompts("Once upon", "file", {.chat = false, .ignore_eos = true});
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(std::get<TextPrompt>((*plain)->Request(0).prompt), "Once upon");
  EXPECT_TRUE((*plain)->Request(0).ignore_eos);
}

TEST(PromptFileTest, ReadsJsonLines) {
  const auto workload = ParsePrompts(R"({"messages": [{"role": "system", "content": "Be brief."}], "max_tokens": 3}
{"prompt": [1, 2, 3]}
{"prompt": "text"})",
                                     "file", {.chat = false, .max_tokens = 7});
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_EQ(std::get<ChatMessages>((*workload)->Request(0).prompt).messages[0]["role"], "system");
  EXPECT_EQ((*workload)->Request(0).max_tokens, 3);
  EXPECT_THAT(Tokens(**workload, 1), ElementsAre(1, 2, 3));
  EXPECT_EQ((*workload)->Request(1).max_tokens, 7);
  EXPECT_EQ(std::get<TextPrompt>((*workload)->Request(2).prompt), "text");
}

TEST(PromptFileTest, NamesTheBadLine) {
  for (const char* bad : {"{\"prompt\": 1}", "{", "{\"prompt\": []}", "{\"prompt\": [-1]}", "{\"messages\": \"hi\"}",
                          "{\"prompt\": \"x\", \"max_tokens\": -1}"}) {
    const auto workload = ParsePrompts(absl::StrCat("fine\n", bad), "prompts.txt", {});
    EXPECT_EQ(workload.status().code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(workload.status().message(), HasSubstr("prompts.txt: line 2")) << bad;
  }
  EXPECT_THAT(ParsePrompts(" \n", "prompts.txt", {}).status().message(), HasSubstr("no prompts"));
}

}  // namespace
}  // namespace tandem::cli
