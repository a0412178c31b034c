#include "model/tokenizer/split.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Pieces(const PreTokenizer& step, const std::string& text) {
  PieceList list;
  list.Reset(text, true);
  const absl::Status status = step.Apply(&list);
  EXPECT_TRUE(status.ok()) << status;
  std::vector<std::string> pieces;
  for (const Piece piece : list.pieces()) pieces.emplace_back(list.TextOf(piece));
  return pieces;
}

std::vector<std::string> RegexPieces(const char* pattern, SplitBehavior behavior, bool invert = false) {
  absl::StatusOr<Regex> regex = Regex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  return Pieces(RegexSplit(*std::move(regex), behavior, invert), "the-final--countdown-");
}

TEST(SplitTest, BehavioursDifferInWhatBecomesOfTheMatch) {
  EXPECT_THAT(RegexPieces("-", SplitBehavior::kIsolated), ElementsAre("the", "-", "final", "-", "-", "countdown", "-"));
  EXPECT_THAT(RegexPieces("-", SplitBehavior::kRemoved), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(RegexPieces("-", SplitBehavior::kMergedWithPrevious), ElementsAre("the-", "final-", "-", "countdown-"));
  EXPECT_THAT(RegexPieces("-", SplitBehavior::kMergedWithNext), ElementsAre("the", "-final", "-", "-countdown", "-"));
  EXPECT_THAT(RegexPieces("-", SplitBehavior::kContiguous), ElementsAre("the", "-", "final", "--", "countdown", "-"));
}

TEST(SplitTest, InvertingSwapsMatchesAndTheRest) {
  EXPECT_THAT(RegexPieces("[a-z]+", SplitBehavior::kRemoved, true), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(RegexPieces("[a-z]+", SplitBehavior::kIsolated, true),
              ElementsAre("the", "-", "final", "--", "countdown", "-"));
}

TEST(SplitTest, CharactersMatchOneByOne) {
  EXPECT_THAT(Pieces(CharacterSplit(&IsNumeric, SplitBehavior::kIsolated), "a12½b"),
              ElementsAre("a", "1", "2", "½", "b"));
  EXPECT_THAT(Pieces(CharacterSplit(&IsNumeric, SplitBehavior::kContiguous), "a12½b"), ElementsAre("a", "12½", "b"));
  EXPECT_THAT(Pieces(CharacterSplit(&IsWhiteSpace, SplitBehavior::kRemoved), " a\u3000\tb "), ElementsAre("a", "b"));
}

TEST(SplitTest, WordRunsDropSpace) {
  EXPECT_THAT(Pieces(WordRuns(), "Hey, man!?  café_1 "), ElementsAre("Hey", ",", "man", "!?", "café_1"));
  EXPECT_THAT(Pieces(WordRuns(), " "), ElementsAre());
}

TEST(SplitTest, UnknownBehaviourIsAnError) {
  EXPECT_EQ(ParseSplitBehavior("Sideways").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem::model::tokenizer
