#include "model/tokenizer/added_tokens.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer/trust_map.h"

namespace tandem::model::tokenizer {
namespace {

using ::testing::ElementsAre;

bool Always(const AddedToken&, size_t, size_t) { return true; }

AddedToken Token(int32_t id, const std::string& content) {
  AddedToken token;
  token.id = id;
  token.content = content;
  return token;
}

// Parts as "text" or "id:text".
std::vector<std::string> Split(const std::vector<AddedToken>& tokens, const std::string& text,
                               AddedTokenMatcher::IsAllowed is_allowed = Always) {
  AddedTokenMatcher matcher;
  for (const AddedToken& token : tokens) EXPECT_TRUE(matcher.Add(token, token.content).ok());
  std::vector<std::string> parts;
  for (const AddedTokenMatcher::Part& part : matcher.Split(text, is_allowed)) {
    const std::string piece = text.substr(part.begin, part.end - part.begin);
    parts.push_back(part.id ? absl::StrCat(*part.id, ":", piece) : piece);
  }
  return parts;
}

TEST(AddedTokensTest, LeftmostThenLongest) {
  const std::vector<AddedToken> tokens = {Token(1, "ab"), Token(2, "abcd"), Token(3, "bcdef")};
  EXPECT_THAT(Split(tokens, "xabcdef"), ElementsAre("x", "2:abcd", "ef"));
  EXPECT_THAT(Split(tokens, "abcx"), ElementsAre("1:ab", "cx"));
  EXPECT_THAT(Split(tokens, "abab"), ElementsAre("1:ab", "1:ab"));
  EXPECT_THAT(Split(tokens, ""), ElementsAre());
  EXPECT_THAT(Split({}, "abc"), ElementsAre("abc"));
}

TEST(AddedTokensTest, StripTakesWhiteSpaceAlong) {
  AddedToken left = Token(1, "<l>");
  left.lstrip = true;
  AddedToken right = Token(2, "<r>");
  right.rstrip = true;
  EXPECT_THAT(Split({left, right}, "a \u3000<l> b<r> \n c"), ElementsAre("a", "1: \u3000<l>", " b", "2:<r> \n ", "c"));
  // Space that one token took is gone for the next.
  EXPECT_THAT(Split({left, right}, "<r> <l>"), ElementsAre("2:<r> ", "1:<l>"));
}

TEST(AddedTokensTest, SingleWordNeedsBorders) {
  AddedToken word = Token(1, "cat");
  word.single_word = true;
  EXPECT_THAT(Split({word}, "cat concat cat_ écat cat"), ElementsAre("1:cat", " concat cat_ écat ", "1:cat"));
}

TEST(AddedTokensTest, DisallowedMatchesFallBackToShorterOnes) {
  const auto not_two = [](const AddedToken& token, size_t, size_t) { return token.id != 2; };
  EXPECT_THAT(Split({Token(1, "ab"), Token(2, "abcd")}, "abcd", not_two), ElementsAre("1:ab", "cd"));
}

TEST(AddedTokensTest, ControlTokensAreSpecialOrBarred) {
  AddedToken special = Token(1, "<s>");
  EXPECT_FALSE(special.IsControl());
  special.special = true;
  EXPECT_TRUE(special.IsControl());
  EXPECT_TRUE(Token(2, "<｜User｜>").IsControl());
  EXPECT_TRUE(Token(3, "<|fim_prefix|>").IsControl());
  EXPECT_FALSE(Token(4, "<think>").IsControl());
}

TEST(AddedTokensTest, PatternsMustBeDistinctAndNotEmpty) {
  AddedTokenMatcher matcher;
  EXPECT_TRUE(matcher.Add(Token(1, "a"), "a").ok());
  EXPECT_EQ(matcher.Add(Token(2, "b"), "a").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(matcher.Add(Token(3, "c"), "").code(), absl::StatusCode::kInvalidArgument);
}

TEST(TrustMapTest, RangesAreTrustedOnlyAsAWhole) {
  TrustMap map;
  map.Add(3, true);
  map.Add(0, false);
  map.Add(2, true);
  map.Add(4, false);
  map.Add(1, true);
  EXPECT_FALSE(map.all_trusted());
  EXPECT_TRUE(map.IsTrusted(0, 5));
  EXPECT_FALSE(map.IsTrusted(4, 6));
  EXPECT_FALSE(map.IsTrusted(5, 9));
  EXPECT_TRUE(map.IsTrusted(9, 10));
  EXPECT_FALSE(map.IsTrusted(9, 11));
  EXPECT_TRUE(map.Slice(1, 5).all_trusted());
  EXPECT_FALSE(map.Slice(4, 6).all_trusted());
  EXPECT_TRUE(map.Slice(4, 6).IsTrusted(0, 1));
}

}  // namespace
}  // namespace tandem::model::tokenizer
