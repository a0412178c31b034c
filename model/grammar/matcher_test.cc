#include "model/grammar/matcher.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/grammar/grammar_text.h"
#include "model/grammar/json_schema.h"
#include "model/grammar/mask_cache.h"

namespace tandem::grammar {
namespace {

std::shared_ptr<const Grammar> FromText(const std::string& text) {
  GrammarBuilder builder;
  auto root = GrammarText(text, builder);
  EXPECT_TRUE(root.ok()) << root.status();
  auto grammar = std::move(builder).Build(*root);
  EXPECT_TRUE(grammar.ok()) << grammar.status();
  return *grammar;
}

std::shared_ptr<const Grammar> FromSchema(const char* schema) {
  GrammarBuilder builder;
  JsonText text(&builder);
  const Json parsed = Json::parse(schema);
  auto root = JsonSchema(parsed, builder, text);
  EXPECT_TRUE(root.ok()) << root.status();
  auto grammar = std::move(builder).Build(*root);
  EXPECT_TRUE(grammar.ok()) << grammar.status();
  return *grammar;
}

bool Matches(const std::shared_ptr<const Grammar>& grammar, const std::string& text) {
  Matcher matcher(grammar);
  return matcher.Accept(text) && matcher.CanEnd();
}

std::string Quoted(const std::string& text) { return absl::StrCat("\"", text, "\""); }

// Bytes, and pieces of several bytes as vocabularies have them.
TokenTable Vocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 255; ++byte) tokens.push_back(std::string(1, static_cast<char>(byte)));
  for (const char* piece : {"\":",  "\",\"", "\"}",  "{\"",      "ab", "abc", "aaaa",  "aaaaaaaaaaaaaaaaaaaaaaaa",
                            " a",   "é",     "日本", "\xE6\x97", "]}", "],",  "10",    "123",
                            "true", "null",  "))",   "()",       ",(", "a\"", "\"a\"", "\n\n",
                            "\xA5", "x y"}) {
    tokens.push_back(piece);
  }
  tokens.push_back("");
  tokens.push_back(TokenTable::SpecialTokenBytes("<|end|>"));
  return TokenTable(std::move(tokens));
}

// The tokens that a copy of the matcher accepts: what the mask has to say.
std::vector<uint64_t> MaskByTrying(const Matcher& matcher, const TokenTable& table) {
  std::vector<uint64_t> mask(table.mask_words());
  for (size_t token = 0; token < table.vocab_size(); ++token) {
    const absl::string_view bytes = table.BytesOf(static_cast<int32_t>(token));
    Matcher copy = matcher;
    if (!bytes.empty() && copy.Accept(bytes)) mask[token / 64] |= uint64_t{1} << (token % 64);
  }
  return mask;
}

const char* const kGrammars[] = {
    "root ::= \"a\" root \"b\" | \"\"",
    "root ::= s\ns ::= \"(\" s \")\" s | \"\"",
    "root ::= \"x\" root \"y\" | \"x\" root \"z\" | \".\"",
    "root ::= item (\",\" item)*\nitem ::= [^,\\n]{0,5} | \"(\" root \")\"",
    "root ::= a a a\na ::= b b\nb ::= \"a\" | \"aa\" | \"\"",
    "root ::= .*",
    "root ::= [a-z ]{3,40} \"!\"",
};

const char* const kSchemas[] = {
    R"({})",
    R"({"type":"string","minLength":3,"maxLength":20})",
    R"({"type":"array","items":{"type":"string","maxLength":2},"minItems":2,"maxItems":90})",
    R"({"$ref":"#/$defs/t","$defs":{"t":{"type":"object","required":["a"],"properties":{
        "a":{"type":"string"},"t":{"anyOf":[{"$ref":"#/$defs/t"},{"type":"array","items":{"$ref":"#/$defs/t"}}]}}}}})",
};

std::vector<std::shared_ptr<const Grammar>> AllGrammars() {
  std::vector<std::shared_ptr<const Grammar>> grammars;
  for (const char* text : kGrammars) grammars.push_back(FromText(text));
  for (const char* schema : kSchemas) grammars.push_back(FromSchema(schema));
  return grammars;
}

TEST(MatcherTest, MasksAreWhatMayBeAcceptedAtEveryStepOfRandomWalks) {
  const TokenTable table = Vocabulary();
  MaskCache cache(size_t{1} << 20);
  std::mt19937 random(3);
  for (const auto& grammar : AllGrammars()) {
    for (int walk = 0; walk < 20; ++walk) {
      Matcher matcher(grammar);
      for (int step = 0; step < 60; ++step) {
        std::vector<uint64_t> mask(table.mask_words());
        matcher.FillMask(table, absl::MakeSpan(mask));
        ASSERT_EQ(mask, MaskByTrying(matcher, table));
        ASSERT_EQ(mask, *cache.Get(matcher, table));
        std::vector<int32_t> allowed;
        for (size_t token = 0; token < table.vocab_size(); ++token) {
          if ((mask[token / 64] >> token % 64 & 1) != 0) allowed.push_back(static_cast<int32_t>(token));
        }
        ASSERT_EQ(allowed.empty(), matcher.MustEnd());
        if (allowed.empty()) break;
        ASSERT_TRUE(matcher.Accept(table.BytesOf(allowed[random() % allowed.size()])));
      }
    }
  }
}

TEST(MatcherTest, EveryPrefixCanBeCompletedInTheBytesItSays) {
  std::mt19937 random(4);
  for (const auto& grammar : AllGrammars()) {
    for (int walk = 0; walk < 20; ++walk) {
      Matcher matcher(grammar);
      const auto bytes_that_follow = [&] {
        std::vector<Matcher> next;
        for (int byte = 0; byte < 256; ++byte) {
          Matcher copy = matcher;
          if (copy.Accept(std::string(1, static_cast<char>(byte)))) next.push_back(std::move(copy));
        }
        return next;
      };
      for (int step = 0; step < 40 && !matcher.MustEnd(); ++step) {
        const std::vector<Matcher> next = bytes_that_follow();
        matcher = next[random() % next.size()];
      }
      while (!matcher.CanEnd()) {
        const uint64_t before = matcher.BytesToEnd();
        std::vector<Matcher> next = bytes_that_follow();
        ASSERT_FALSE(next.empty());
        matcher = *std::min_element(next.begin(), next.end(),
                                    [](const Matcher& a, const Matcher& b) { return a.BytesToEnd() < b.BytesToEnd(); });
        ASSERT_EQ(matcher.BytesToEnd() + 1, before);
      }
    }
  }
}

TEST(MatcherTest, ARefusedTextChangesNothing) {
  Matcher matcher(FromText("root ::= \"ab\" (\"c\" | \"d\")"));
  EXPECT_FALSE(matcher.Accept("abx"));
  EXPECT_TRUE(matcher.Accept("ab"));
  Matcher copy = matcher;
  EXPECT_TRUE(copy.Accept("c"));
  EXPECT_TRUE(copy.MustEnd());
  EXPECT_FALSE(matcher.CanEnd());
  EXPECT_TRUE(matcher.Accept("d"));
}

TEST(MatcherTest, AmbiguityDoesNotMultiplyStacks) {
  const auto grammar =
      FromText("root ::= \"x\" root \"y\" | \"x\" other \"z\" | \".\"\nother ::= \"x\" root \"z\" | \".\"");
  Matcher matcher(grammar);
  ASSERT_TRUE(matcher.Accept(absl::StrCat(std::string(2000, 'x'), ".")));
  EXPECT_TRUE(matcher.Accept(std::string(1999, 'y')));
  EXPECT_FALSE(matcher.CanEnd());
}

TEST(MatcherTest, RecursionAtTheEndNeedsNoStack) {
  const auto list = FromText("root ::= \"a\" rest\nrest ::= \",\" root | \"\"");
  Matcher matcher(list);
  const StackKey key = [&] {
    EXPECT_TRUE(matcher.Accept("a,a"));
    return matcher.MaskKey();
  }();
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(matcher.Accept(",a"));
  EXPECT_TRUE(matcher.MaskKey() == key);
  EXPECT_TRUE(matcher.CanEnd());
}

TEST(MatcherTest, LongTextsAreForgotten) {
  const auto grammar = FromSchema(R"({"type":"array","items":{"type":"object","properties":{"a":{"type":"string"}}}})");
  Matcher matcher(grammar);
  ASSERT_TRUE(matcher.Accept("["));
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(matcher.Accept(R"({"a":"some text"},)"));
  ASSERT_TRUE(matcher.Accept("{}]"));
  EXPECT_TRUE(matcher.MustEnd());
}

TEST(MatcherTest, CountsAreExactAndCostNoStates) {
  const auto grammar = FromSchema(R"({"type":"string","minLength":1000,"maxLength":1000000})");
  EXPECT_LT(grammar->state_count(), 100u);
  EXPECT_FALSE(Matches(grammar, Quoted(std::string(999, 'a'))));
  EXPECT_TRUE(Matches(grammar, Quoted(std::string(1000, 'a'))));
  EXPECT_TRUE(Matches(grammar, Quoted(std::string(1'000'000, 'a'))));
  EXPECT_FALSE(Matches(grammar, Quoted(std::string(1'000'001, 'a'))));
}

TEST(MatcherTest, KeysDifferOnlyWhereMasksMay) {
  const auto grammar = FromSchema(R"({"type":"string","minLength":200,"maxLength":400})");
  const auto key_after = [&](size_t characters) {
    Matcher matcher(grammar);
    EXPECT_TRUE(matcher.Accept(absl::StrCat("\"", std::string(characters, 'a'))));
    return matcher.MaskKey();
  };
  EXPECT_TRUE(key_after(10) == key_after(100));
  EXPECT_TRUE(key_after(210) == key_after(300));
  EXPECT_FALSE(key_after(199) == key_after(200));
  EXPECT_FALSE(key_after(390) == key_after(391));
}

TEST(MatcherTest, SpecialTokensMatchOnlyByName) {
  const TokenTable table = Vocabulary();
  const auto special = static_cast<int32_t>(table.vocab_size() - 1);
  const auto is_allowed = [&](const Expression& expression) {
    auto grammar = GrammarBuilder().Build(expression);
    EXPECT_TRUE(grammar.ok());
    Matcher matcher(*grammar);
    std::vector<uint64_t> mask(table.mask_words());
    matcher.FillMask(table, absl::MakeSpan(mask));
    return (mask[special / 64] >> special % 64 & 1) != 0;
  };
  EXPECT_FALSE(is_allowed(Expression::Literal("<|end|>")));
  EXPECT_TRUE(is_allowed(Expression::Literal(TokenTable::SpecialTokenBytes("<|end|>"))));
}

TEST(MaskCacheTest, ForgetsTheMaskThatWasNotUsedForLongest) {
  const TokenTable table = Vocabulary();
  const auto grammar = FromText("root ::= \"abcdefgh\"");
  MaskCache cache(2 * table.mask_words() * sizeof(uint64_t));
  Matcher first(grammar);
  const MaskCache::Mask kept = cache.Get(first, table);
  Matcher matcher(grammar);
  for (const char* byte : {"a", "b", "c"}) {
    ASSERT_TRUE(matcher.Accept(byte));
    cache.Get(matcher, table);
    EXPECT_EQ(cache.Get(first, table), kept);
  }
  ASSERT_TRUE(matcher.Accept("d"));
  cache.Get(matcher, table);
  ASSERT_TRUE(matcher.Accept("e"));
  cache.Get(matcher, table);
  EXPECT_NE(cache.Get(first, table), kept);
}

TEST(GrammarTest, WhatCannotBeIsRefused) {
  EXPECT_EQ(GrammarBuilder().Build(Expression::Nothing()).status().code(), absl::StatusCode::kInvalidArgument);
  GrammarBuilder endless;
  const RuleId rule = endless.AddRule("endless");
  endless.Define(rule, Expression::Sequence({Expression::Literal("a"), Expression::Call(rule)}));
  EXPECT_EQ(std::move(endless).Build(Expression::Call(rule)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(GrammarTest, TheEmptyTextAlone) {
  const auto grammar = GrammarBuilder().Build(Expression::Empty());
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  Matcher matcher(*grammar);
  EXPECT_TRUE(matcher.CanEnd());
  EXPECT_TRUE(matcher.MustEnd());
}

}  // namespace
}  // namespace tandem::grammar
