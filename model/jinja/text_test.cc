#include "model/jinja/text.h"

#include <gtest/gtest.h>

#include <random>

#include "model/jinja/text_operations.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

// One letter per byte: 'i' from input, 't' from the template.
std::string Marks(const Text& text) {
  std::string marks;
  for (const Text::Span& span : text.spans()) {
    marks.resize(span.end, span.from_input ? 'i' : 't');
  }
  return marks;
}

Text Mixed() {
  Text text("<a>");
  text.Append("b c", true);
  text.Append("</a>");
  return text;
}

TEST(TextTest, AppendMergesNeighboursOfOneOrigin) {
  Text text = Mixed();
  text.Append("!");
  text.Append("");
  EXPECT_EQ(text.spans().size(), 3u);
  EXPECT_EQ(Marks(text), "tttiiittttt");
}

TEST(TextTest, SubstrKeepsTheMarkOfEveryByte) {
  const Text text = Mixed();
  const std::string marks = Marks(text);
  for (size_t begin = 0; begin <= text.size(); ++begin) {
    for (size_t end = begin; end <= text.size(); ++end) {
      const Text part = text.Substr(begin, end);
      EXPECT_EQ(part.bytes(), text.bytes().substr(begin, end - begin));
      EXPECT_EQ(Marks(part), marks.substr(begin, end - begin));
    }
  }
}

TEST(TextTest, SplittingAndJoiningIsTheIdentity) {
  std::mt19937 random(20260102);
  const RenderOptions options;
  Runtime runtime(options);
  for (int round = 0; round < 300; ++round) {
    Text text;
    for (int i = 0; i < 12; ++i) {
      text.Append(std::string(random() % 3, "ab,"[random() % 3]), random() % 2 == 0);
    }
    const Text joined = Join(runtime, Text(","), Split(text, Text(","), -1));
    EXPECT_EQ(joined.bytes(), text.bytes());
    EXPECT_EQ(Split(text, Text(","), -1).size(), SplitFromRight(text, Text(","), -1).size());
    const Text replaced = Replace(runtime, text, Text("a"), Text("a"), -1);
    EXPECT_EQ(replaced.bytes(), text.bytes());
  }
}

TEST(Utf8Test, InvalidBytesCountOneEachAndSurvive) {
  const std::string broken = "a\xFF\xC3z\xE6\x97";
  EXPECT_EQ(utf8::Length(broken), 6u);
  EXPECT_EQ(utf8::Upper(broken), "A\xFF\xC3Z\xE6\x97");
  size_t end = broken.size();
  size_t count = 0;
  while (end > 0) {
    end -= utf8::DecodeBefore(broken, end).length;
    ++count;
  }
  EXPECT_EQ(count, 6u);
}

TEST(Utf8Test, CountsCodePoints) {
  EXPECT_EQ(utf8::Length("naïve 日本🙂"), 9u);
  EXPECT_EQ(utf8::OffsetOf("日本🙂", 2), 6u);
  EXPECT_EQ(utf8::OffsetOf("日本", 9), 6u);
}

}  // namespace
}  // namespace tandem::jinja
