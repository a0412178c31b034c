#include "model/tokenizer/added_vocabulary.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::model::tokenizer {
namespace {

constexpr absl::string_view kWhere = "added_tokens";

absl::StatusOr<AddedToken> ParseToken(JsonValue value) {
  ASSIGN_OR_RETURN(const JsonObject object, AsObject(value, kWhere));
  AddedToken token;
  const std::optional<JsonValue> id = Field(object, "id");
  if (!id) return absl::InvalidArgumentError("tokenizer.json: added_tokens.id is missing");
  ASSIGN_OR_RETURN(token.id, AsTokenId(*id, "added_tokens.id"));
  ASSIGN_OR_RETURN(const absl::string_view content, StringField(object, "content", kWhere));
  token.content = std::string(content);
  ASSIGN_OR_RETURN(token.special, BoolField(object, "special", false, kWhere));
  ASSIGN_OR_RETURN(token.lstrip, BoolField(object, "lstrip", false, kWhere));
  ASSIGN_OR_RETURN(token.rstrip, BoolField(object, "rstrip", false, kWhere));
  ASSIGN_OR_RETURN(token.single_word, BoolField(object, "single_word", false, kWhere));
  ASSIGN_OR_RETURN(token.normalized, BoolField(object, "normalized", !token.special, kWhere));
  return token;
}

}  // namespace

absl::StatusOr<AddedVocabulary> AddedVocabulary::FromJson(std::optional<JsonValue> value, const BpeModel& model,
                                                          const Normalizer* normalizer) {
  AddedVocabulary vocabulary;
  if (!value) return vocabulary;
  ASSIGN_OR_RETURN(const JsonArray tokens, AsArray(*value, kWhere));
  int32_t next_id = model.token_count();
  for (const JsonValue element : tokens) {
    ASSIGN_OR_RETURN(AddedToken token, ParseToken(element));
    if (token.content.empty()) continue;
    const std::optional<int32_t> model_id = model.TokenToId(token.content);
    const int32_t expected = model_id ? *model_id : next_id++;
    if (token.id != expected) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer.json: added token \"", token.content, "\" says id ", token.id, ", but ",
                       model_id ? "the vocabulary gives it id " : "the next free id is ", expected));
    }
    RETURN_IF_ERROR(vocabulary.Add(std::move(token), normalizer));
  }
  absl::flat_hash_set<absl::string_view> special;
  for (const Entry& entry : vocabulary.entries_) {
    if (entry.token.special) special.insert(entry.token.content);
  }
  for (Entry& entry : vocabulary.entries_) entry.is_skipped = special.contains(entry.text);
  return vocabulary;
}

absl::Status AddedVocabulary::Add(AddedToken token, const Normalizer* normalizer) {
  if (!id_of_content_.emplace(token.content, token.id).second) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json: added token \"", token.content, "\" is listed twice"));
  }
  std::string text = token.content;
  if (token.normalized && normalizer != nullptr) {
    RETURN_IF_ERROR(normalizer->Apply(&text));
  }
  RETURN_IF_ERROR((token.normalized ? normalized_matcher_ : raw_matcher_).Add(token, text));
  if (token.id >= id_limit()) index_of_id_.resize(token.id + 1, -1);
  index_of_id_[token.id] = static_cast<int32_t>(entries_.size());
  entries_.push_back({std::move(token), std::move(text)});
  return absl::OkStatus();
}

const AddedVocabulary::Entry* AddedVocabulary::FindEntry(int32_t id) const {
  if (id < 0 || id >= id_limit() || index_of_id_[id] < 0) return nullptr;
  return &entries_[index_of_id_[id]];
}

const AddedToken* AddedVocabulary::Find(int32_t id) const {
  const Entry* entry = FindEntry(id);
  return entry == nullptr ? nullptr : &entry->token;
}

std::optional<int32_t> AddedVocabulary::TokenToId(absl::string_view content) const {
  const auto it = id_of_content_.find(content);
  return it == id_of_content_.end() ? std::nullopt : std::optional<int32_t>(it->second);
}

std::vector<int32_t> AddedVocabulary::ControlIds() const {
  std::vector<int32_t> ids;
  for (const Entry& entry : entries_) {
    if (entry.token.IsControl()) ids.push_back(entry.token.id);
  }
  return ids;
}

absl::string_view AddedVocabulary::TextOf(int32_t id) const {
  const Entry* entry = FindEntry(id);
  return entry == nullptr ? absl::string_view() : absl::string_view(entry->text);
}

bool AddedVocabulary::IsSkipped(int32_t id) const {
  const Entry* entry = FindEntry(id);
  return entry != nullptr && entry->is_skipped;
}

}  // namespace tandem::model::tokenizer
