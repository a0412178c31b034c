#include "model/tokenizer/regex.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer/regex_translate.h"

namespace tandem::model::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Matches(const std::string& pattern, const std::string& text) {
  const absl::StatusOr<Regex> regex = Regex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  std::vector<std::string> matches;
  if (!regex.ok()) return matches;
  const absl::Status status =
      regex->ForEachMatch(text, [&](size_t begin, size_t end) { matches.push_back(text.substr(begin, end - begin)); });
  EXPECT_TRUE(status.ok()) << status;
  return matches;
}

TEST(RegexTest, WhiteSpaceIsOniguruma) {
  EXPECT_THAT(Matches(R"(\s+)", "a \t\u3000b\u0085\u180Ec"), ElementsAre(" \t\u3000", "\u0085"));
  EXPECT_THAT(Matches(R"([^\s]+)", "a \u180Eb"), ElementsAre("a", "\u180Eb"));
  EXPECT_THAT(Matches(R"(\S+)", "a b"), ElementsAre("a", "b"));
}

TEST(RegexTest, ClassesIntersectAndNest) {
  EXPECT_THAT(Matches(R"([\p{L}&&[^\p{Han}]]+)", "abc我能def"), ElementsAre("abc", "def"));
  EXPECT_THAT(Matches(R"([^\p{L}&&[^\p{Han}]]+)", "ab我1"), ElementsAre("我1"));
  EXPECT_THAT(Matches(R"([a[bc]]+)", "abcd"), ElementsAre("abc"));
  EXPECT_THAT(Matches(R"([a[^b-z]]+)", "ab1"), ElementsAre("a", "1"));
  EXPECT_THAT(Matches(R"([a-z&&[^aeiou]&&[^x]]+)", "bcaxd"), ElementsAre("bc", "d"));
}

TEST(RegexTest, ScriptIsNotItsExtensions) { EXPECT_THAT(Matches(R"(\p{Han}+)", "我。能"), ElementsAre("我", "能")); }

TEST(RegexTest, CategoriesKnowYoungCharacters) {
  const std::string kirat = "\U00016D40\U00016D43";  // letters of Unicode 16
  EXPECT_THAT(Matches(R"(\p{L}+)", absl::StrCat("a", kirat, "1")), ElementsAre(absl::StrCat("a", kirat)));
  EXPECT_THAT(Matches(R"([^\p{L}]+)", kirat + "1"), ElementsAre("1"));
  EXPECT_THAT(Matches(R"(\P{L}+)", kirat + "1"), ElementsAre("1"));
  EXPECT_THAT(Matches(R"([\P{L}a]+)", kirat + "1ab"), ElementsAre("1a"));
  EXPECT_THAT(Matches(R"([[:space:]x]+)", "a x\u0085"), ElementsAre(" x\u0085"));
}

TEST(RegexTest, QuantifiersAreRubys) {
  EXPECT_THAT(Matches(R"(\d{1,2}+)", "12345"), ElementsAre("12345"));  // repeated, not possessive
  EXPECT_THAT(Matches(R"(x{,2})", "xxx"), ElementsAre("xx", "x"));
  EXPECT_THAT(Matches(R"((?:ab){2}+)", "ababababab"), ElementsAre("abababab"));
  EXPECT_THAT(Matches(R"(a{b})", "a{b}"), ElementsAre("a{b}"));
  EXPECT_THAT(Matches(R"(a++b)", "aab"), ElementsAre("aab"));
}

TEST(RegexTest, OptionsAndEscapes) {
  EXPECT_THAT(Matches(R"((?i:'S|'t))", "'s'T'x"), ElementsAre("'s", "'T"));
  EXPECT_THAT(Matches(R"((?m:a.b))", "a\nb"), ElementsAre("a\nb"));
  EXPECT_THAT(Matches(R"(a.b)", "a\nb"), ElementsAre());
  EXPECT_THAT(Matches(R"(\u0041\x42\x{43})", "ABC"), ElementsAre("ABC"));
  EXPECT_THAT(Matches(R"(\h+)", "xBEEF"), ElementsAre("BEEF"));
  EXPECT_THAT(Matches(R"(\s+(?!\S)|\s+)", "a   b  "), ElementsAre("  ", " ", "  "));
}

TEST(RegexTest, EmptyMatchesDoNotFollowMatches) {
  EXPECT_THAT(Matches(R"([0-9]*)", "a12é3"), ElementsAre("", "12", "3"));
  EXPECT_THAT(Matches("", "ab"), ElementsAre("", "", ""));
}

TEST(RegexTest, EscapedTextMatchesItself) {
  const std::string text = R"(a.b*[c]\d{2}|^$é)";
  EXPECT_THAT(Matches(EscapeRegex(text), "x" + text), ElementsAre(text));
}

TEST(RegexTest, BrokenPatternsAreErrors) {
  for (const char* pattern : {"[a", "(", "a)", "\\", "[a\\", "\\p{Nonsense}", "\\pL", "*a", "[[:alpha:", "\\u12",
                              "[z-a]", "(?<n>a)\\k<m>", "\xFF"}) {
    const absl::StatusOr<Regex> regex = Regex::Compile(pattern);
    EXPECT_EQ(regex.status().code(), absl::StatusCode::kInvalidArgument) << pattern;
  }
  const std::string deep = absl::StrCat(std::string(1000, '['), "a", std::string(1000, ']'));
  EXPECT_FALSE(Regex::Compile(deep).ok());
}

TEST(RegexTest, RunawayBacktrackingIsAnError) {
  const absl::StatusOr<Regex> regex = Regex::Compile(R"((?:a|a)+(?:a|a)+(?:a|a)+[bc])");
  ASSERT_TRUE(regex.ok()) << regex.status();
  const absl::Status status = regex->ForEachMatch(std::string(5000, 'a'), [](size_t, size_t) {});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot be split"));
}

}  // namespace
}  // namespace tandem::model::tokenizer
