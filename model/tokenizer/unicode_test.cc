#include "model/tokenizer/unicode.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace tandem::model::tokenizer {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

TEST(UnicodeTest, EveryCodePointSurvivesARoundTrip) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    AppendUtf8(c, &text);
    ASSERT_TRUE(IsValidUtf8(text)) << std::hex << c;
    size_t pos = 0;
    ASSERT_EQ(NextCodePoint(text, &pos), c);
    ASSERT_EQ(pos, text.size());
    ASSERT_EQ(PreviousCharacter(text, pos), 0u);
    ASSERT_EQ(ReplaceInvalidUtf8(text), text);
  }
}

TEST(UnicodeTest, IllFormedPartsBecomeOneReplacementEach) {
  const std::string r = kReplacement;
  EXPECT_EQ(ReplaceInvalidUtf8("a\x80z"), "a" + r + "z");
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\x80"), r + r);          // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80"), r + r + r);  // surrogate
  EXPECT_EQ(ReplaceInvalidUtf8("\xF0\x9F\x98"), r);          // cut off
  EXPECT_EQ(ReplaceInvalidUtf8("\xF0\x9F\x98z\xE4\xBD"), r + "z" + r);
  EXPECT_EQ(ReplaceInvalidUtf8("\xF5\xFF"), r + r);
}

TEST(UnicodeTest, StreamGivesTheSameTextHoweverTheBytesAreCut) {
  std::mt19937 random(5);
  for (int round = 0; round < 500; ++round) {
    std::string bytes;
    for (int i = 0; i < 20; ++i) {
      // Bytes from the ranges where the rules change.
      static constexpr unsigned char kBytes[] = {0x41, 0x80, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2,
                                                 0xE0, 0xE4, 0xED, 0xF0, 0xF4, 0xF5};
      bytes.push_back(static_cast<char>(kBytes[random() % std::size(kBytes)]));
    }
    LossyUtf8Stream stream;
    std::string text;
    for (size_t pos = 0; pos < bytes.size();) {
      const size_t size = std::min<size_t>(random() % 4, bytes.size() - pos);
      std::string piece;
      stream.Push(absl::string_view(bytes).substr(pos, size), &piece);
      ASSERT_TRUE(IsValidUtf8(piece));
      text += piece;
      pos += size;
    }
    stream.Finish(&text);
    ASSERT_EQ(text, ReplaceInvalidUtf8(bytes)) << "round " << round;
  }
}

TEST(UnicodeTest, ClassesFollowThePeer) {
  EXPECT_TRUE(IsWhiteSpace(0x85));
  EXPECT_TRUE(IsWhiteSpace(0x3000));
  EXPECT_FALSE(IsWhiteSpace(0x180E));
  EXPECT_FALSE(IsWhiteSpace(0x200B));
  EXPECT_TRUE(IsNumeric(0xB2));
  EXPECT_TRUE(IsNumeric(0x2167));
  EXPECT_TRUE(IsNumeric(0x1CCF5));  // Unicode 16
  EXPECT_FALSE(IsNumeric('a'));
  EXPECT_TRUE(IsPunctuation('$'));
  EXPECT_TRUE(IsPunctuation(0x3002));
  EXPECT_FALSE(IsPunctuation(0x20AC));
  EXPECT_FALSE(IsPunctuation(0x61D));  // punctuation since Unicode 14
  EXPECT_TRUE(IsWordCharacter('_'));
  EXPECT_TRUE(IsWordCharacter(0x24B6));
  EXPECT_TRUE(IsWordCharacter(0x200D));
  EXPECT_FALSE(IsWordCharacter('-'));
}

TEST(UnicodeTest, LowercaseIgnoresContext) {
  std::string text;
  for (const uint32_t c : {0x41u, 0x130u, 0x3A3u, 0x1C89u, 0x34u}) AppendLowercase(c, &text);
  EXPECT_EQ(text,
            "ai\xCC\x87\xCF\x83\xE1\xB2\x8A"
            "4");
}

}  // namespace
}  // namespace tandem::model::tokenizer
