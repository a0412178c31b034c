#include "model/grammar/automaton.h"

#include <gtest/gtest.h>

#include <regex>
#include <string>

#include "model/grammar/expression.h"
#include "model/grammar/regex.h"

namespace tandem::grammar {
namespace {

Automaton Compile(const std::string& pattern, RegexMatch match = RegexMatch::kWhole) {
  Budget budget;
  auto automaton = CompileRegex(pattern, match, budget);
  EXPECT_TRUE(automaton.ok()) << pattern << ": " << automaton.status();
  return automaton.ok() ? *automaton : Automaton();
}

// All texts over a few letters, shortest first.
std::vector<std::string> Texts(const std::string& letters, size_t max_length) {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() == max_length) continue;
    for (const char c : letters) texts.push_back(texts[i] + c);
  }
  return texts;
}

TEST(RegexTest, AgreesWithTheStandardLibraryOnAllShortTexts) {
  for (const char* pattern : {"a*b", "(a|b)*a(a|b)", "[ab]{2,3}", "a?b+c?", "(?:ab|c)*", "a{2}|b{3,}", "[^a]", "a|",
                              "(a|(b|c)){2}", "a*?b+?", "[a-b]c|[^a-b]a", "(a*)*b", "\\x61.c"}) {
    const Automaton automaton = Compile(pattern);
    const Automaton search = Compile(pattern, RegexMatch::kSearch);
    const std::regex peer(pattern);
    for (const std::string& text : Texts("abc", 6)) {
      EXPECT_EQ(automaton.Matches(text), std::regex_match(text, peer)) << pattern << " on " << text;
      EXPECT_EQ(search.Matches(text), std::regex_search(text, peer)) << pattern << " in " << text;
    }
  }
}

TEST(RegexTest, AnchorsHoldAtTheEndsOfTheText) {
  for (const char* pattern : {"^a", "a$", "^a$|b", "^$", "(^a|b)c", "a(b$|c)", "^(a|b)*$"}) {
    const Automaton search = Compile(pattern, RegexMatch::kSearch);
    const std::regex peer(pattern);
    for (const std::string& text : Texts("abc", 5)) {
      EXPECT_EQ(search.Matches(text), std::regex_search(text, peer)) << pattern << " in " << text;
    }
  }
}

TEST(RegexTest, CharactersAreCodePoints) {
  EXPECT_TRUE(Compile(".{2}").Matches("é😀"));
  EXPECT_FALSE(Compile(".{2}").Matches("😀"));
  EXPECT_FALSE(Compile(".").Matches("\xC3"));
  EXPECT_FALSE(Compile(".").Matches("\xED\xA0\x80"));  // a surrogate
  EXPECT_TRUE(Compile("[à-ý]+").Matches("éü"));
  EXPECT_FALSE(Compile("[^é]").Matches("é"));
  EXPECT_TRUE(Compile("[^é]").Matches("\xF4\x8F\xBF\xBF"));
}

TEST(RegexTest, DialectsMustAgree) {
  EXPECT_FALSE(Compile("\\d").Matches("٣"));  // a digit in Python alone
  EXPECT_FALSE(Compile("\\W").Matches("é"));  // no word in ECMAScript alone
  EXPECT_FALSE(Compile("\\S").Matches("\u00a0"));
  EXPECT_TRUE(Compile("\\S+").Matches("日本"));
  EXPECT_TRUE(Compile("(?i)aB").Matches("Ab"));
}

TEST(RegexTest, RefusesWhatIsNotRegular) {
  Budget budget;
  for (const char* pattern : {"(a)\\1", "(?=a)", "(?<!a)b", "\\b", "a++", "[", "(", ")", "a**", "{,3}a{,3}", "\\p{L}",
                              "[b-a]", "\xFF", "^*"}) {
    const auto automaton = CompileRegex(pattern, RegexMatch::kWhole, budget);
    EXPECT_EQ(automaton.status().code(), absl::StatusCode::kInvalidArgument) << pattern;
  }
}

TEST(RegexTest, HostilePatternsEndInAnError) {
  for (const char* pattern : {"(a|b)*a(a|b){40}", "((a{0,9}){0,99}){0,999}", "(.{1000}){1000}"}) {
    Budget budget;
    const auto automaton = CompileRegex(pattern, RegexMatch::kWhole, budget);
    EXPECT_EQ(automaton.status().code(), absl::StatusCode::kInvalidArgument) << pattern;
  }
}

TEST(AutomatonTest, IntersectionAndDifferenceAreThose) {
  Budget budget;
  const Automaton a = Compile("[ab]*a");
  const Automaton b = Compile("a[abc]*|b");
  const auto both = Intersect(a, b, budget);
  const auto only_a = Subtract(a, b, budget);
  ASSERT_TRUE(both.ok() && only_a.ok());
  for (const std::string& text : Texts("abc", 6)) {
    EXPECT_EQ(both->Matches(text), a.Matches(text) && b.Matches(text)) << text;
    EXPECT_EQ(only_a->Matches(text), a.Matches(text) && !b.Matches(text)) << text;
  }
  EXPECT_TRUE(Subtract(a, a, budget)->IsEmpty());
}

TEST(AutomatonTest, MinimalAutomataHaveAStateForEachFuture) {
  EXPECT_EQ(Compile("(a|b)*a(a|b)").states.size(), 4u);
  EXPECT_EQ(Compile("aa|ba|ca").states.size(), 3u);
  EXPECT_EQ(Compile("a*").states.size(), 1u);
}

TEST(ExpressionTest, NothingSwallowsWhatItIsPartOf) {
  EXPECT_TRUE(Expression::Sequence({Expression::Literal("a"), Expression::Nothing()}).is_nothing());
  EXPECT_TRUE(Expression::OneOf({Expression::Nothing(), Expression::Nothing()}).is_nothing());
  EXPECT_FALSE(Expression::Optional(Expression::Nothing()).is_nothing());
  EXPECT_TRUE(Expression::Repeat(Expression::Nothing(), 1).is_nothing());
}

}  // namespace
}  // namespace tandem::grammar
