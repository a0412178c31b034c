#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer/testing.h"
#include "model/tokenizer/tokenizer.h"

namespace tandem::model::tokenizer {
namespace {

using testing::AddedTokenJson;
using testing::BpeBlock;
using testing::ByteLevelSpec;
using ::testing::HasSubstr;
using testing::Spec;
using testing::ToJson;

void ExpectError(const Spec& spec, absl::StatusCode code, const std::string& message) {
  const auto tokenizer = Tokenizer::FromJson(ToJson(spec));
  EXPECT_EQ(tokenizer.status().code(), code) << ToJson(spec).substr(0, 500);
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(message));
}

Spec ModelSpec(const std::string& model) {
  Spec spec;
  spec.model = model;
  return spec;
}

TEST(LoadingTest, BrokenModelsAreNamed) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  ExpectError(ModelSpec("null"), invalid, "model is missing");
  ExpectError(ModelSpec("[]"), invalid, "model must be an object");
  ExpectError(ModelSpec(R"({"type": "BPE", "merges": []})"), invalid, "vocab is missing");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": [], "merges": []})"), invalid, "model.vocab must be an object");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 0}})"), invalid, "model.merges is missing");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": "0"}, "merges": []})"), invalid, "integer token id");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": -1}, "merges": []})"), invalid, "out of range");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 16000000}, "merges": []})"), invalid, "out of range");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 99999999999999999999}, "merges": []})"), invalid, "");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []})"), invalid, "share id 0");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []})"), invalid, "twice");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]})"), invalid, "\"b\"");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]})"), invalid, "\"aa\"");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["aa"]})"), invalid, "merge 0");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]})"), invalid, "not a pair");
  ExpectError(ModelSpec(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [17]})"), invalid, "merges[0]");
  ExpectError(ModelSpec(R"({"type": "BPE", "unk_token": "?", "vocab": {"a": 0}, "merges": []})"), invalid, "unk_token");
  ExpectError(ModelSpec(R"({"type": "BPE", "byte_fallback": 1, "vocab": {"a": 0}, "merges": []})"), invalid,
              "model.byte_fallback must be true or false");
}

TEST(LoadingTest, WhatIsNotSupportedIsNamed) {
  const auto unimplemented = absl::StatusCode::kUnimplemented;
  ExpectError(ModelSpec(R"({"type": "Unigram", "vocab": []})"), unimplemented, "Unigram");
  ExpectError(ModelSpec(BpeBlock({"a"}, {}, R"("dropout": 0.1,)")), unimplemented, "dropout");
  ExpectError(ModelSpec(BpeBlock({"a"}, {}, R"("end_of_word_suffix": "</w>",)")), unimplemented, "</w>");
  Spec spec = ByteLevelSpec({});
  spec.normalizer = R"({"type": "Precompiled", "precompiled_charsmap": ""})";
  ExpectError(spec, unimplemented, "Precompiled");
  spec = ByteLevelSpec({});
  spec.pre_tokenizer = R"({"type": "BertPreTokenizer"})";
  ExpectError(spec, unimplemented, "BertPreTokenizer");
  spec = ByteLevelSpec({});
  spec.decoder = R"({"type": "CTC"})";
  ExpectError(spec, unimplemented, "CTC");
  spec = ByteLevelSpec({});
  spec.post_processor = R"({"type": "Magic"})";
  ExpectError(spec, unimplemented, "Magic");
}

TEST(LoadingTest, BrokenComponentsAreNamed) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  Spec spec = ByteLevelSpec({});
  spec.pre_tokenizer = R"({"type": "Split", "pattern": {"Regex": "(["}, "behavior": "Isolated"})";
  ExpectError(spec, invalid, "regex");
  spec.pre_tokenizer = R"({"type": "Split", "pattern": "x", "behavior": "Isolated"})";
  ExpectError(spec, invalid, "pre_tokenizer.pattern");
  spec.pre_tokenizer = R"({"type": "Split", "pattern": {"String": "x"}, "behavior": "Upside"})";
  ExpectError(spec, invalid, "Upside");
  spec.pre_tokenizer = R"({"type": "Metaspace", "replacement": "ab"})";
  ExpectError(spec, invalid, "one character");
  spec.pre_tokenizer = R"({"type": "Sequence"})";
  ExpectError(spec, invalid, "pretokenizers is missing");
  spec.pre_tokenizer = R"({})";
  ExpectError(spec, invalid, "pre_tokenizer.type is missing");
  spec = ByteLevelSpec({});
  spec.decoder = R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})";
  ExpectError(spec, invalid, "decoder.start");
  spec = ByteLevelSpec({});
  spec.post_processor =
      R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}], "special_tokens": {}})";
  ExpectError(spec, invalid, "<s>");
  spec.post_processor = R"({"type": "TemplateProcessing", "single": [], "special_tokens": {}})";
  ExpectError(spec, invalid, "exactly once");
  std::string deep = R"({"type": "NFC"})";
  for (int i = 0; i < 100; ++i) deep = absl::StrCat(R"({"type": "Sequence", "normalizers": [)", deep, "]}");
  spec = ByteLevelSpec({});
  spec.normalizer = deep;
  ExpectError(spec, invalid, "nested");
}

TEST(LoadingTest, AddedTokensMustFitTheVocabulary) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  Spec spec = ByteLevelSpec({});
  const auto with = [&spec, invalid](const std::string& tokens, const std::string& message) {
    spec.added_tokens = absl::StrCat("[", tokens, "]");
    ExpectError(spec, invalid, message);
  };
  with(AddedTokenJson(300, "<s>", ""), "next free id is 256");
  with(AddedTokenJson(7, "a", ""), "the vocabulary gives it id");
  with(AddedTokenJson(256, "<s>", "") + "," + AddedTokenJson(257, "<s>", ""), "<s>");
  with(AddedTokenJson(256, "<s>", "") + "," + AddedTokenJson(256, "</s>", ""), "256");
  with(R"({"id": 256})", "content is missing");
  with(R"({"content": "x"})", "id is missing");
  with(R"({"id": 4294967552, "content": "x"})", "out of range");
  with(AddedTokenJson(256, "x", R"("special": "yes")"), "special");
}

TEST(LoadingTest, NoTruncationOfTheFileCrashes) {
  Spec spec = ByteLevelSpec({});
  spec.model = BpeBlock({"a", "b", "c"}, {"a b", "ab c"});
  spec.added_tokens = absl::StrCat("[", AddedTokenJson(5, "<s>", R"("special": true)"), "]");
  const std::string json = ToJson(spec);
  ASSERT_TRUE(Tokenizer::FromJson(json).ok());
  for (size_t size = 0; size < json.size(); ++size) {
    const auto tokenizer = Tokenizer::FromJson(json.substr(0, size));
    ASSERT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument) << size;
  }
}

TEST(LoadingTest, RandomDamageNeverCrashes) {
  Spec spec = ByteLevelSpec({});
  spec.model = BpeBlock({"a", "b", "c", "<0x41>"}, {"a b", "ab c"}, R"("byte_fallback": true, "fuse_unk": false,)");
  spec.added_tokens = absl::StrCat("[", AddedTokenJson(6, "<s>", R"("special": true, "lstrip": true)"), "]");
  spec.normalizer = R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]})";
  spec.pre_tokenizer = R"json({"type": "Split", "pattern": {"Regex": "[\\p{L}&&[^x]]{1,3}+|\\s+(?!\\S)"},
                              "behavior": "Removed"})json";
  spec.decoder = R"({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]})";
  const std::string json = ToJson(spec);
  std::mt19937 random(31);
  int loaded = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = json;
    for (int i = 0; i < 3; ++i) {
      const size_t pos = random() % damaged.size();
      switch (random() % 3) {
        case 0:
          damaged[pos] = static_cast<char>(random());
          break;
        case 1:
          damaged.erase(pos, 1 + random() % 4);
          break;
        default:
          damaged.insert(pos, damaged.substr(random() % damaged.size(), random() % 20));
      }
    }
    const auto tokenizer = Tokenizer::FromJson(damaged);
    if (!tokenizer.ok()) continue;
    ++loaded;
    const auto ids = (*tokenizer)->Encode("abc <s> ABC\xC3\xA9 x");
    if (ids.ok()) (*tokenizer)->Decode(*ids);
  }
  EXPECT_GT(loaded, 10);  // some damage is harmless; the test would be idle if none was
}

TEST(LoadingTest, AMissingFileSaysWhatToDo) {
  const auto tokenizer = Tokenizer::Load("/nonexistent/model");
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr("/nonexistent/model/tokenizer.json"));
}

}  // namespace
}  // namespace tandem::model::tokenizer
