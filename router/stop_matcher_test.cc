#include "router/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"

namespace tandem::router {
namespace {

std::string Feed(StopMatcher& matcher, const std::vector<std::string>& pieces) {
  std::string out;
  for (const std::string& piece : pieces) {
    out += matcher.Push(piece);
  }
  if (matcher.match() == nullptr) {
    out += matcher.Flush();
  }
  return out;
}

TEST(StopMatcherTest, RemovesAMatchThatCrossesPieces) {
  StopMatcher matcher({"</end>"}, false);
  EXPECT_EQ(matcher.Push("text <"), "text ");
  EXPECT_EQ(matcher.Push("/e"), "");
  EXPECT_EQ(matcher.Push("nd> more"), "");
  ASSERT_NE(matcher.match(), nullptr);
  EXPECT_EQ(*matcher.match(), "</end>");
  EXPECT_EQ(matcher.Push("even more"), "");
}

TEST(StopMatcherTest, ReleasesAHeldTailThatCameToNothing) {
  StopMatcher matcher({"abcd"}, false);
  EXPECT_EQ(matcher.Push("xabc"), "x");
  EXPECT_EQ(matcher.Push("abx"), "abcabx");
  EXPECT_EQ(matcher.Push("abc"), "");
  EXPECT_EQ(matcher.Flush(), "abc");
}

TEST(StopMatcherTest, KeepsTheMatchWhenAsked) {
  StopMatcher matcher({"\n\n"}, true);
  EXPECT_EQ(Feed(matcher, {"a\n", "\nb"}), "a\n\n");
}

TEST(StopMatcherTest, FirstEndWinsThenTheLongest) {
  StopMatcher first_end({"abcd", "b"}, false);
  EXPECT_EQ(Feed(first_end, {"xabcd"}), "xa");
  StopMatcher longest({"c", "abc"}, false);
  EXPECT_EQ(Feed(longest, {"xabc"}), "x");
  EXPECT_EQ(*longest.match(), "abc");
}

TEST(StopMatcherTest, MatchesInsideMultiByteText) {
  StopMatcher matcher({"🛑"}, false);
  EXPECT_EQ(Feed(matcher, {"go ", "🛑 no"}), "go ");
}

// Property: equal to a search over the whole text, however it is cut.
TEST(StopMatcherTest, DoesNotDependOnThePieces) {
  const uint32_t seed = std::random_device()();
  std::mt19937 random(seed);
  const auto word = [&](int min, int max) {
    std::string out;
    for (int n = min + static_cast<int>(random() % (max - min + 1)); n > 0; --n) {
      out.push_back("ab"[random() % 2]);
    }
    return out;
  };
  for (int round = 0; round < 3000; ++round) {
    const std::vector<std::string> stops = {word(1, 6), word(2, 6), word(3, 6)};
    const std::string text = word(0, 30);
    size_t best_end = std::string::npos;
    size_t best_length = 0;
    for (const std::string& stop : stops) {
      const size_t at = text.find(stop);
      if (at == std::string::npos) continue;
      const size_t end = at + stop.size();
      if (end < best_end || (end == best_end && stop.size() > best_length)) {
        best_end = end;
        best_length = stop.size();
      }
    }
    const std::string expected = best_end == std::string::npos ? text : text.substr(0, best_end - best_length);
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 4;
      pieces.push_back(text.substr(at, n));
      at += n;
    }
    StopMatcher matcher(stops, false);
    ASSERT_EQ(Feed(matcher, pieces), expected)
        << "seed " << seed << " text " << text << " stops " << stops[0] << "," << stops[1] << "," << stops[2];
  }
}

}  // namespace
}  // namespace tandem::router
