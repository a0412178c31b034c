// Reading and checking the "model" block.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "model/tokenizer/bpe_model.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

constexpr uint32_t kLowCodePoints = 0x10000;
constexpr absl::string_view kWordMark = "\xE2\x96\x81";  // U+2581
// A vocabulary may leave ids unused, but not to the point that one id makes us allocate without bound.
constexpr size_t kMaxGapFactor = 16;
constexpr size_t kMaxGap = 1 << 16;

absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: model: ", what));
}

absl::Status RefuseNonEmpty(JsonObject model, absl::string_view key) {
  const std::optional<JsonValue> value = Field(model, key);
  if (!value) return absl::OkStatus();
  ASSIGN_OR_RETURN(const absl::string_view text, AsString(*value, absl::StrCat("model.", key)));
  if (text.empty()) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("tokenizer.json: model.", key, " = \"", text, "\" is not supported"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BpeModel>> BpeModel::FromJson(JsonValue value, bool byte_level) {
  ASSIGN_OR_RETURN(const JsonObject model, AsObject(value, "model"));
  // Old files leave the type out; merges tell BPE from the rest.
  if (Field(model, "type") || !Field(model, "merges")) {
    ASSIGN_OR_RETURN(const absl::string_view type, StringField(model, "type", "model"));
    if (type != "BPE") {
      return absl::UnimplementedError(
          absl::StrCat("tokenizer.json: model type ", type, " is not supported; only BPE is"));
    }
  }
  std::unique_ptr<BpeModel> bpe(new BpeModel(byte_level));
  RETURN_IF_ERROR(bpe->ReadVocabulary(model));
  RETURN_IF_ERROR(bpe->ReadOptions(model));
  RETURN_IF_ERROR(bpe->ReadMerges(model));
  bpe->BuildStarts();
  return bpe;
}

absl::Status BpeModel::ReadOptions(JsonObject model) {
  RETURN_IF_ERROR(RefuseNonEmpty(model, "continuing_subword_prefix"));
  RETURN_IF_ERROR(RefuseNonEmpty(model, "end_of_word_suffix"));
  if (const std::optional<JsonValue> dropout = Field(model, "dropout")) {
    double probability = 0;
    if (dropout->get(probability) != simdjson::SUCCESS) return Invalid("dropout must be a number");
    if (probability != 0) {
      return absl::UnimplementedError("tokenizer.json: model.dropout makes encoding random; set it to null");
    }
  }
  ASSIGN_OR_RETURN(byte_fallback_, BoolField(model, "byte_fallback", false, "model"));
  ASSIGN_OR_RETURN(ignore_merges_, BoolField(model, "ignore_merges", false, "model"));
  ASSIGN_OR_RETURN(fuse_unk_, BoolField(model, "fuse_unk", false, "model"));
  if (const std::optional<JsonValue> unk = Field(model, "unk_token")) {
    ASSIGN_OR_RETURN(const absl::string_view token, AsString(*unk, "model.unk_token"));
    const std::optional<int32_t> id = TokenToId(token);
    if (!id) return Invalid(absl::StrCat("unk_token \"", token, "\" is not in the vocabulary"));
    unk_id_ = *id;
  }
  return absl::OkStatus();
}

absl::Status BpeModel::ReadVocabulary(JsonObject model) {
  const std::optional<JsonValue> field = Field(model, "vocab");
  if (!field) return Invalid("vocab is missing");
  ASSIGN_OR_RETURN(const JsonObject vocab, AsObject(*field, "model.vocab"));
  const size_t id_bound = vocab.size() * kMaxGapFactor + kMaxGap;
  vocab_.reserve(vocab.size());
  for (const auto& [key, value] : vocab) {
    const absl::string_view token = ToAbsl(key);
    ASSIGN_OR_RETURN(const int32_t id, AsTokenId(value, "model.vocab"));
    const size_t index = static_cast<size_t>(id);
    if (index >= id_bound) {
      return Invalid(absl::StrCat("token \"", token, "\" has id ", id, ", out of range for a vocabulary of ",
                                  vocab.size(), " tokens"));
    }
    if (index >= tokens_.size()) {
      tokens_.resize(index + 1);
      is_used_.resize(index + 1);
    }
    if (is_used_[index]) {
      return Invalid(absl::StrCat("tokens \"", tokens_[index], "\" and \"", token, "\" share id ", id));
    }
    is_used_[index] = true;
    tokens_[index] = std::string(token);
    if (!vocab_.emplace(tokens_[index], id).second) {
      return Invalid(absl::StrCat("token \"", token, "\" is in the vocabulary twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status BpeModel::ReadMerges(JsonObject model) {
  ASSIGN_OR_RETURN(const JsonArray merges, ArrayField(model, "merges", "model"));
  merge_table_ = MergeTable(merges.size());
  is_merged_.resize(tokens_.size());
  cut_at_word_mark_ = !byte_level_ && !ignore_merges_ && TokenToId(kWordMark).has_value();
  uint32_t rank = 0;
  for (const JsonValue merge : merges) {
    std::string_view line;
    if (merge.get(line) == simdjson::SUCCESS) {
      const size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
        return Invalid(
            absl::StrCat("merge ", rank, " \"", ToAbsl(line), "\" is not two tokens with one space between"));
      }
      RETURN_IF_ERROR(AddMerge(ToAbsl(line.substr(0, space)), ToAbsl(line.substr(space + 1)), rank));
    } else {
      const std::string where = absl::StrCat("model.merges[", rank, "]");
      ASSIGN_OR_RETURN(const JsonArray pair, AsArray(merge, where));
      if (pair.size() != 2) return Invalid(absl::StrCat("merge ", rank, " is not a pair"));
      ASSIGN_OR_RETURN(const absl::string_view left, AsString(pair.at(0).value_unsafe(), where));
      ASSIGN_OR_RETURN(const absl::string_view right, AsString(pair.at(1).value_unsafe(), where));
      RETURN_IF_ERROR(AddMerge(left, right, rank));
    }
    ++rank;
  }
  return absl::OkStatus();
}

absl::Status BpeModel::AddMerge(absl::string_view left, absl::string_view right, uint32_t rank) {
  const auto id_of = [&](absl::string_view token) -> absl::StatusOr<int32_t> {
    const std::optional<int32_t> id = TokenToId(token);
    if (!id) return Invalid(absl::StrCat("merge ", rank, " names \"", token, "\", which is not in the vocabulary"));
    return *id;
  };
  ASSIGN_OR_RETURN(const int32_t left_id, id_of(left));
  ASSIGN_OR_RETURN(const int32_t right_id, id_of(right));
  ASSIGN_OR_RETURN(const int32_t merged_id, id_of(absl::StrCat(left, right)));
  merge_table_.Set(left_id, right_id, rank, merged_id);
  is_merged_[merged_id] = true;
  const bool crosses_into_mark = right.substr(0, kWordMark.size()) == kWordMark &&
                                 (left.size() < kWordMark.size() || left.substr(left.size() - 3) != kWordMark);
  cut_at_word_mark_ = cut_at_word_mark_ && !crosses_into_mark;
  return absl::OkStatus();
}

BpeModel::Start BpeModel::StartOf(absl::string_view character) const {
  Start start;
  start.id = TokenToId(character).value_or(kUnknown);
  if (start.id != kUnknown || !byte_fallback_) return start;
  for (const char byte : character) {
    const int32_t id = fallback_ids_[static_cast<unsigned char>(byte)];
    if (id == kUnknown) return Start{};  // all bytes or none
    start.fallback.push_back(id);
  }
  return start;
}

void BpeModel::BuildStarts() {
  for (int byte = 0; byte < 256; ++byte) {
    fallback_ids_[byte] = TokenToId(absl::StrFormat("<0x%02X>", byte)).value_or(kUnknown);
  }
  if (byte_level_) {
    all_bytes_known_ = true;
    for (int byte = 0; byte < 256; ++byte) {
      byte_starts_[byte] = StartOf(ByteAlphabet()[byte]);
      all_bytes_known_ = all_bytes_known_ && byte_starts_[byte].id != kUnknown;
    }
    return;
  }
  low_character_ids_.assign(kLowCodePoints, kUnknown);
  for (const auto& [token, id] : vocab_) {
    if (token.empty() || Utf8Length(static_cast<unsigned char>(token[0])) != token.size()) continue;
    size_t pos = 0;
    const uint32_t code_point = NextCodePoint(token, &pos);
    if (code_point < kLowCodePoints) low_character_ids_[code_point] = id;
  }
}

}  // namespace tandem::model::tokenizer
