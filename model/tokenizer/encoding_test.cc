#include <limits>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer/testing.h"
#include "model/tokenizer/tokenizer.h"

namespace tandem::model::tokenizer {
namespace {

using testing::AddedTokenJson;
using testing::BpeBlock;
using testing::ByteLevelSpec;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::LoadSpec;
using testing::Spec;

using Ids = std::vector<int32_t>;

Ids Encode(const Tokenizer& tokenizer, const std::string& text, const EncodeOptions& options = {}) {
  const absl::StatusOr<Ids> ids = tokenizer.Encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.value_or(Ids());
}

TEST(EncodingTest, LowestRankMergesFirstAndLeftmostOfEquals) {
  Spec spec;
  spec.model = BpeBlock({"a", "b", "c"}, {"b c", "a b", "a a"});
  const auto tokenizer = LoadSpec(spec);
  EXPECT_THAT(Encode(*tokenizer, "abc"), ElementsAre(0, 3));
  EXPECT_THAT(Encode(*tokenizer, "ab"), ElementsAre(4));
  EXPECT_THAT(Encode(*tokenizer, "aaa"), ElementsAre(5, 0));
  EXPECT_THAT(Encode(*tokenizer, "x"), ElementsAre());  // no unk_token: dropped
  EXPECT_THAT(Encode(*tokenizer, ""), ElementsAre());
}

// The textbook algorithm: search all pairs, merge the best, start over.
std::vector<std::string> NaiveBpe(const std::string& word,
                                  const std::vector<std::pair<std::string, std::string>>& merges) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); ++i) ranks[merges[i]] = i;
  std::vector<std::string> symbols;
  for (const char c : word) symbols.emplace_back(1, c);
  while (true) {
    size_t best_rank = std::numeric_limits<size_t>::max();
    size_t best = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto rank = ranks.find({symbols[i], symbols[i + 1]});
      if (rank != ranks.end() && rank->second < best_rank) {
        best_rank = rank->second;
        best = i;
      }
    }
    if (best_rank == std::numeric_limits<size_t>::max()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(EncodingTest, WordsOfAnyLengthEqualTheTextbookAlgorithm) {
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> pieces = {"a", "b", "c"};
    std::vector<std::pair<std::string, std::string>> merges;
    std::vector<std::string> lines;
    for (int i = 0; i < 25; ++i) {
      const std::string left = pieces[random() % pieces.size()];
      const std::string right = pieces[random() % pieces.size()];
      if (std::find(pieces.begin(), pieces.end(), left + right) != pieces.end()) continue;
      pieces.push_back(left + right);
      merges.emplace_back(left, right);
      lines.push_back(absl::StrCat(left, " ", right));
    }
    Spec spec;
    spec.model = BpeBlock({"a", "b", "c"}, lines);
    const auto tokenizer = LoadSpec(spec);
    // Around the cache's longest word (22), the change of algorithm (48), and far beyond.
    for (const size_t length : {1u, 2u, 7u, 21u, 22u, 23u, 47u, 48u, 49u, 50u, 300u}) {
      std::string word;
      for (size_t i = 0; i < length; ++i) word.push_back("abc"[random() % 3]);
      Ids expected;
      for (const std::string& piece : NaiveBpe(word, merges)) {
        expected.push_back(static_cast<int32_t>(std::find(pieces.begin(), pieces.end(), piece) - pieces.begin()));
      }
      ASSERT_EQ(Encode(*tokenizer, word), expected) << "round " << round << ", " << word;
      ASSERT_EQ(Encode(*tokenizer, word), expected) << "cached, round " << round << ", " << word;
    }
  }
}

TEST(EncodingTest, UnknownCharactersFuseOnlyWhenAsked) {
  for (const bool fuse : {false, true}) {
    Spec spec;
    spec.model =
        BpeBlock({"<unk>", "a"}, {}, absl::StrCat(R"("unk_token": "<unk>", "fuse_unk": )", fuse ? "true," : "false,"));
    EXPECT_EQ(Encode(*LoadSpec(spec), "xyaz"), fuse ? (Ids{0, 1, 0}) : (Ids{0, 0, 1, 0}));
  }
}

TEST(EncodingTest, ByteFallbackTakesAllBytesOrNone) {
  Spec spec;
  spec.model = BpeBlock({"<unk>", "a", "<0xC3>", "<0xA9>"}, {}, R"("unk_token": "<unk>", "byte_fallback": true,)");
  EXPECT_THAT(Encode(*LoadSpec(spec), "aéè"), ElementsAre(1, 2, 3, 0));
}

TEST(EncodingTest, WordMarksCutWithoutChangingTheResult) {
  const std::string mark = "\u2581";
  Spec spec;
  spec.normalizer = R"({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})";
  // The first vocabulary allows cuts before marks; in the second a merge crosses into a mark.
  spec.model = BpeBlock({mark, "a", "b"}, {mark + " a", "a b", mark + " " + mark});
  EXPECT_THAT(Encode(*LoadSpec(spec), "ab a  b"), ElementsAre(3, 2, 3, 5, 2));
  spec.model = BpeBlock({mark, "a", "b"}, {"b " + mark, mark + " a", "a b" + mark});
  EXPECT_THAT(Encode(*LoadSpec(spec), "ab a"), ElementsAre(4, 3, 1));
}

TEST(EncodingTest, IgnoreMergesPrefersWholeWords) {
  Spec spec = ByteLevelSpec({"a b", "ab c"});
  spec.model = BpeBlock(testing::ByteCharacters(), {"b c", "a b", "ab c"}, R"("ignore_merges": true,)");
  EXPECT_THAT(Encode(*LoadSpec(spec), "abc"), ElementsAre(258));
  spec.model = BpeBlock(testing::ByteCharacters(), {"b c", "a b", "ab c"});
  EXPECT_THAT(Encode(*LoadSpec(spec), "abc"), ElementsAre('a', 256));
}

TEST(EncodingTest, MetaspacePrependsFollowTheScheme) {
  Spec spec;
  spec.model = BpeBlock({"\u2581", "a", "<s>"}, {"\u2581 a"});
  spec.added_tokens = absl::StrCat("[", AddedTokenJson(2, "<s>", R"("special": true)"), "]");
  const auto with = [&spec](const std::string& options) {
    spec.pre_tokenizer = absl::StrCat(R"({"type": "Metaspace", "replacement": "▁", )", options, "}");
    return Encode(*LoadSpec(spec), "a a<s>a");
  };
  EXPECT_THAT(with(R"("prepend_scheme": "always")"), ElementsAre(3, 3, 2, 3));
  EXPECT_THAT(with(R"("prepend_scheme": "first")"), ElementsAre(3, 3, 2, 1));
  EXPECT_THAT(with(R"("prepend_scheme": "never")"), ElementsAre(1, 3, 2, 1));
  EXPECT_THAT(with(R"("add_prefix_space": false)"), ElementsAre(1, 3, 2, 1));
}

Spec ChatSpec() {
  Spec spec = ByteLevelSpec({"h i", "< s", "<s >"});
  spec.added_tokens = absl::StrCat("[", AddedTokenJson(258, "<s>", R"("special": true)"), ", ",
                                   AddedTokenJson(259, "<|end|>", ""), ", ", AddedTokenJson(260, "<think>", ""), "]");
  spec.post_processor = R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]}}})";
  return spec;
}

TEST(EncodingTest, PostProcessorAddsItsTokens) {
  const auto tokenizer = LoadSpec(ChatSpec());
  EXPECT_THAT(Encode(*tokenizer, "hi"), ElementsAre(258, 256));
  EXPECT_THAT(Encode(*tokenizer, "hi", {.add_special_tokens = false}), ElementsAre(256));
}

TEST(EncodingTest, UserSpansCannotForgeControlTokens) {
  const auto tokenizer = LoadSpec(ChatSpec());
  const EncodeOptions plain{.add_special_tokens = false};
  EXPECT_THAT(Encode(*tokenizer, "<s>hi<|end|>", plain), ElementsAre(258, 256, 259));
  const EncodeOptions user{.add_special_tokens = false, .parse_special = false};
  const Ids forged = Encode(*tokenizer, "<s>hi<|end|>", user);
  EXPECT_THAT(forged, ::testing::Not(::testing::AnyOf(::testing::Contains(258), ::testing::Contains(259))));
  EXPECT_EQ(tokenizer->Decode(forged, false), "<s>hi<|end|>");
  // Tokens that do not steer the model stay tokens.
  EXPECT_THAT(Encode(*tokenizer, "<think>", user), ElementsAre(260));
  // Half of a token from each side is no token.
  const TextSpan split[] = {{"hi<|e", true}, {"nd|>", false}};
  const absl::StatusOr<Ids> ids = tokenizer->EncodeSpans(split, plain);
  ASSERT_TRUE(ids.ok());
  EXPECT_THAT(*ids, ::testing::Not(::testing::Contains(259)));
  const TextSpan turns[] = {{"<s>", true}, {"<s>", false}, {"<|end|>", true}};
  const absl::StatusOr<Ids> turn_ids = tokenizer->EncodeSpans(turns, plain);
  ASSERT_TRUE(turn_ids.ok());
  EXPECT_THAT(*turn_ids, ElementsAre(258, '<', 's', '>', 259));
}

TEST(EncodingTest, MergesOfUserTextStopShortOfControlTokens) {
  for (const char* options : {"", R"("ignore_merges": true,)"}) {
    Spec spec;
    spec.model = BpeBlock({"<", "s", ">"}, {"< s", "<s >"}, options);
    spec.added_tokens = absl::StrCat("[", AddedTokenJson(4, "<s>", R"("special": true)"), "]");
    const auto tokenizer = LoadSpec(spec);
    EXPECT_THAT(Encode(*tokenizer, "<s>"), ElementsAre(4));
    EXPECT_THAT(Encode(*tokenizer, "<s>", {.parse_special = false}), ElementsAre(3, 2));
    EXPECT_THAT(Encode(*tokenizer, "<s"), ElementsAre(3));
  }
}

TEST(EncodingTest, NormalizationForgesNoControlTokens) {
  Spec spec = ChatSpec();
  spec.normalizer = R"({"type": "NFKC"})";
  spec.added_tokens = absl::StrCat("[", AddedTokenJson(258, "<s>", R"("special": true, "normalized": true)"), "]");
  const auto tokenizer = LoadSpec(spec);
  const EncodeOptions options{.add_special_tokens = false};
  const std::string wide = "\uFF1Cs\uFF1E";  // full-width brackets normalize to <s>
  EXPECT_THAT(Encode(*tokenizer, wide, options), ElementsAre(258));
  const TextSpan spans[] = {{"<s>", true}, {wide, false}, {"<s>", true}};
  EXPECT_THAT(tokenizer->EncodeSpans(spans, options).value_or(Ids()), ElementsAre(258, '<', 's', '>', 258));
  // Where a span's border vanishes in normalization, nothing is trusted.
  const TextSpan joined[] = {{"<s>e", true}, {"\u0301", false}};
  EXPECT_THAT(tokenizer->EncodeSpans(joined, options).value_or(Ids{258}), ::testing::Not(::testing::Contains(258)));
}

TEST(EncodingTest, WordsCrossBordersOfSpans) {
  const auto tokenizer = LoadSpec(ChatSpec());
  const TextSpan spans[] = {{"h", true}, {"", true}, {"i<", true}, {"s>", true}};
  const absl::StatusOr<Ids> ids = tokenizer->EncodeSpans(spans);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(*ids, Encode(*tokenizer, "hi<s>"));
  const TextSpan mixed[] = {{"h", true}, {"i", false}};
  EXPECT_THAT(tokenizer->EncodeSpans(mixed, {.add_special_tokens = false}).value_or(Ids()), ElementsAre(256));
}

TEST(EncodingTest, InvalidUtf8IsRefusedOrReplaced) {
  const auto tokenizer = LoadSpec(ByteLevelSpec({}));
  const absl::StatusOr<Ids> refused = tokenizer->Encode("a\xFFz");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("not valid UTF-8"));
  EXPECT_EQ(tokenizer->Decode(Encode(*tokenizer, "a\xFFz", {.replace_invalid_utf8 = true})), "a\uFFFDz");
}

TEST(EncodingTest, LongRunsOfOneCharacterAreFine) {
  const auto tokenizer = LoadSpec(ByteLevelSpec({"a a", "aa aa", "Ġ Ġ"}));
  for (const char* unit : {"a", " ", "\n", "'", "1", "é", "\u0301", "我", "\t ", "a'"}) {
    std::string text;
    while (text.size() < 200'000) text += unit;
    EXPECT_EQ(tokenizer->Decode(Encode(*tokenizer, text)), text) << unit;
  }
}

TEST(EncodingTest, LongRunsOfMarksNormalizeInOrder) {
  Spec spec = ByteLevelSpec({});
  for (const char* form : {"NFC", "NFD", "NFKC", "NFKD"}) {
    spec.normalizer = absl::StrCat(R"({"type": ")", form, R"("})");
    const auto tokenizer = LoadSpec(spec);
    // Marks of classes 130 and 129 in turn: sorting them is most of the work.
    std::string text = "x";
    std::string low;
    std::string high;
    for (int i = 0; i < 200'000; ++i) {
      text += "\u0F72\u0F71";
      low += "\u0F71";
      high += "\u0F72";
    }
    EXPECT_TRUE(tokenizer->Decode(Encode(*tokenizer, text)) == absl::StrCat("x", low, high)) << form;
  }
}

TEST(EncodingTest, ThreadsShareATokenizer) {
  const auto tokenizer = LoadSpec(ByteLevelSpec({"t h", "th e", "Ġ the", "a n"}));
  const std::string text = "the an then than there the\n the 17 thé and and";
  const Ids expected = Encode(*tokenizer, text);
  std::vector<std::thread> threads;
  std::vector<int> failures(4);
  for (int& failed : failures) {
    threads.emplace_back([&tokenizer, &text, &expected, &failed] {
      for (int i = 0; i < 200; ++i) {
        const absl::StatusOr<Ids> ids = tokenizer->Encode(text);
        failed += !ids.ok() || *ids != expected || tokenizer->Decode(*ids) != text;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(failures, ::testing::Each(0));
}

}  // namespace
}  // namespace tandem::model::tokenizer
