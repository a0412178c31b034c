#include "model/tokenizer/testing.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "model/tokenizer/byte_alphabet.h"

namespace tandem::model::tokenizer::testing {

std::string ToJson(const Spec& spec) {
  return absl::StrCat(R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": )", spec.added_tokens,
                      R"(, "normalizer": )", spec.normalizer, R"(, "pre_tokenizer": )", spec.pre_tokenizer,
                      R"(, "post_processor": )", spec.post_processor, R"(, "decoder": )", spec.decoder,
                      R"(, "model": )", spec.model, "}");
}

std::string JsonString(const std::string& text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}), "\"");
}

std::string BpeBlock(const std::vector<std::string>& characters, const std::vector<std::string>& merges,
                     const std::string& options) {
  std::vector<std::string> vocab;
  for (const std::string& character : characters) {
    vocab.push_back(absl::StrCat(JsonString(character), ": ", vocab.size()));
  }
  std::vector<std::string> quoted;
  for (const std::string& merge : merges) {
    vocab.push_back(absl::StrCat(JsonString(absl::StrReplaceAll(merge, {{" ", ""}})), ": ", vocab.size()));
    quoted.push_back(JsonString(merge));
  }
  return absl::StrCat(R"({"type": "BPE", )", options, R"("vocab": {)", absl::StrJoin(vocab, ", "), R"(}, "merges": [)",
                      absl::StrJoin(quoted, ", "), "]}");
}

std::vector<std::string> ByteCharacters() { return {ByteAlphabet().begin(), ByteAlphabet().end()}; }

std::string AddedTokenJson(int id, const std::string& content, const std::string& flags) {
  return absl::StrCat(R"({"id": )", id, R"(, "content": )", JsonString(content), flags.empty() ? "" : ", ", flags, "}");
}

Spec ByteLevelSpec(const std::vector<std::string>& merges) {
  Spec spec;
  spec.model = BpeBlock(ByteCharacters(), merges);
  spec.pre_tokenizer = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})";
  spec.decoder = R"({"type": "ByteLevel"})";
  return spec;
}

std::unique_ptr<Tokenizer> LoadSpec(const Spec& spec) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::FromJson(ToJson(spec));
  TANDEM_CHECK(tokenizer.ok(), tokenizer.status().ToString());
  return *std::move(tokenizer);
}

}  // namespace tandem::model::tokenizer::testing
