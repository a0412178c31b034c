#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "model/tokenizer/testing.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

using testing::AddedTokenJson;
using testing::BpeBlock;
using testing::ByteLevelSpec;
using testing::LoadSpec;
using testing::Spec;

using Ids = std::vector<int32_t>;

constexpr char kLlamaDecoder[] = R"({"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";

// Ids 0 … 6: "▁", "a", "▁▁", "<0xC3>", "<0xA9>", "<0xFF>", "b"; 7 is special.
Spec SmallSpec(const std::string& decoder) {
  Spec spec;
  spec.model = BpeBlock({"\u2581", "a", "\u2581\u2581", "<0xC3>", "<0xA9>", "<0xFF>", "b"}, {});
  spec.added_tokens = absl::StrCat("[", AddedTokenJson(7, "<s>", R"("special": true)"), "]");
  spec.decoder = decoder;
  return spec;
}

std::string DecodeWith(const std::string& decoder, const Ids& ids, bool skip = true) {
  return LoadSpec(SmallSpec(decoder))->Decode(ids, skip);
}

TEST(DecodingTest, WithoutADecoderTokensAreJoinedBySpaces) {
  EXPECT_EQ(DecodeWith("null", {1, 7, 6}), "a b");
  EXPECT_EQ(DecodeWith("null", {1, 7, 6}, false), "a <s> b");
  EXPECT_EQ(DecodeWith("null", {1, 99, -5, 6}), "a b");  // ids that name nothing
}

TEST(DecodingTest, ByteRunsDecodeAsAWhole) {
  EXPECT_EQ(DecodeWith(kLlamaDecoder, {0, 1, 3, 4, 6}), "aéb");
  EXPECT_EQ(DecodeWith(kLlamaDecoder, {3, 4, 5}), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(DecodeWith(kLlamaDecoder, {3, 7, 4}), "é");
}

TEST(DecodingTest, StripTakesOneSpaceOffTheFront) {
  EXPECT_EQ(DecodeWith(kLlamaDecoder, {2, 1}), " a");
  EXPECT_EQ(DecodeWith(kLlamaDecoder, {1, 0}), "a ");
  EXPECT_EQ(DecodeWith(R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
                           {"type": "Strip", "content": "a", "start": 1, "stop": 2}]})",
                       {1, 6, 1, 1, 1}),
            "ba");
  EXPECT_EQ(DecodeWith(R"({"type": "Strip", "content": "a", "start": 1, "stop": 1})", {1, 6, 1}), "b");
}

TEST(DecodingTest, MetaspaceDropsTheFirstMarkOnly) {
  EXPECT_EQ(DecodeWith(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"})", {2, 1, 0, 6}),
            "a b");
  EXPECT_EQ(DecodeWith(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"})", {0, 1}), " a");
}

TEST(DecodingTest, ByteLevelReplacesIllFormedBytes) {
  const auto tokenizer = LoadSpec(ByteLevelSpec({}));
  EXPECT_EQ(tokenizer->Decode(Ids{0xE6, 0x88, 0x91, 'x', 0xE6, 'y', 0xF0, 0x9F}), "我x\uFFFDy\uFFFD");
}

TEST(DecodingTest, StepsHoldBackUnfinishedCharacters) {
  const auto tokenizer = LoadSpec(ByteLevelSpec({}));
  IncrementalDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.Push(0xF0), "");
  EXPECT_EQ(decoder.Push(0x9F), "");
  EXPECT_EQ(decoder.Push(0x98), "");
  EXPECT_EQ(decoder.Push(0x80), "😀");
  EXPECT_EQ(decoder.Push('a'), "a");
  EXPECT_EQ(decoder.Push(0xE6), "");
  EXPECT_EQ(decoder.Flush(), "\uFFFD");
  EXPECT_EQ(decoder.Push('b'), "b");  // starts over
}

TEST(DecodingTest, VisibleSpecialTokensAreNotSkipped) {
  const auto tokenizer = LoadSpec(SmallSpec(kLlamaDecoder));
  IncrementalDecoder skipping(*tokenizer);
  EXPECT_EQ(skipping.Push(7) + skipping.Push(1) + skipping.Flush(), "a");
  IncrementalDecoder seeing(*tokenizer, /*skip_special_tokens=*/true, {7});
  EXPECT_EQ(seeing.Push(7) + seeing.Push(1) + seeing.Flush(), "<s>a");
}

TEST(DecodingTest, StepsEqualDecodeForEveryDecoder) {
  const char* decoders[] = {
      "null",
      kLlamaDecoder,
      R"({"type": "ByteLevel"})",
      R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"})",
      R"({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "▁"}]})",
      R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Metaspace", "replacement": "▁"}]})",
      R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}, {"type": "ByteLevel"}]})",
      R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "aab"}, "content": "aa"}]})",
      R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"Regex": "a+▁"}, "content": "!"}]})",
      R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": "a", "start": 2, "stop": 2}]})",
      R"({"type": "Sequence", "decoders": [{"type": "ByteLevel"}, {"type": "Strip", "content": "▁", "start": 1, "stop": 1}]})",
      R"({"type": "Strip", "content": "▁", "start": 1, "stop": 1})",
  };
  std::mt19937 random(23);
  for (const char* decoder_json : decoders) {
    const auto tokenizer = LoadSpec(SmallSpec(decoder_json));
    for (int round = 0; round < 200; ++round) {
      Ids ids(random() % 12);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % 9);
      const bool skip = random() % 2 == 0;
      IncrementalDecoder decoder(*tokenizer, skip);
      std::string text;
      for (const int32_t id : ids) {
        const std::string piece = decoder.Push(id);
        ASSERT_TRUE(IsValidUtf8(piece));
        text += piece;
      }
      text += decoder.Flush();
      ASSERT_EQ(text, tokenizer->Decode(ids, skip)) << decoder_json << " round " << round;
    }
  }
}

// The streaming Replace and Strip against what they mean for the whole text.
TEST(DecodingTest, FusedStagesSeeTheWholeText) {
  std::mt19937 random(29);
  const auto plain = LoadSpec(SmallSpec(R"({"type": "Fuse"})"));
  const auto replaced = LoadSpec(SmallSpec(R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
      {"type": "Replace", "pattern": {"String": "aba"}, "content": "b"}]})"));
  for (int round = 0; round < 500; ++round) {
    Ids ids(random() % 20);
    for (int32_t& id : ids) id = random() % 2 == 0 ? 1 : 6;
    const std::string expected = absl::StrReplaceAll(plain->Decode(ids), {{"aba", "b"}});
    ASSERT_EQ(replaced->Decode(ids), expected) << plain->Decode(ids);
  }
}

TEST(DecodingTest, TokenBytesAreRaw) {
  const auto bytes = LoadSpec(ByteLevelSpec({"Ġ a"}));
  EXPECT_EQ(bytes->TokenBytes(0xE6), "\xE6");
  EXPECT_EQ(bytes->TokenBytes(256), " a");
  EXPECT_EQ(bytes->TokenBytes(999), "");
  EXPECT_EQ(bytes->TokenBytes(-1), "");
  const auto llama = LoadSpec(SmallSpec(kLlamaDecoder));
  EXPECT_EQ(llama->TokenBytes(0), " ");
  EXPECT_EQ(llama->TokenBytes(3), "\xC3");
  EXPECT_EQ(llama->TokenBytes(7), "<s>");
}

TEST(DecodingTest, TokensAreFoundByNameAndMarkedSpecial) {
  const auto tokenizer = LoadSpec(SmallSpec("null"));
  EXPECT_EQ(tokenizer->vocab_size(), 8);
  EXPECT_EQ(tokenizer->TokenToId("<s>"), 7);
  EXPECT_EQ(tokenizer->TokenToId("b"), 6);
  EXPECT_EQ(tokenizer->TokenToId("nothing"), std::nullopt);
  EXPECT_TRUE(tokenizer->IsSpecial(7));
  EXPECT_FALSE(tokenizer->IsSpecial(6));
  EXPECT_FALSE(tokenizer->IsSpecial(-1));
  EXPECT_FALSE(tokenizer->IsSpecial(1 << 30));
}

}  // namespace
}  // namespace tandem::model::tokenizer
