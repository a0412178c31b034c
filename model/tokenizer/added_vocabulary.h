// The "added_tokens" block of tokenizer.json: ids on top of the model's vocabulary, and the matchers that find them.
// Immutable and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/bpe_model.h"
#include "model/tokenizer/json_fields.h"
#include "model/tokenizer/normalizer.h"

namespace tandem::model::tokenizer {

class AddedVocabulary {
 public:
  // `normalizer` may be null. Errors: INVALID_ARGUMENT for broken tokens, and for ids that disagree with the rule of
  // the peer, which gives a token its vocabulary id or else the next free one.
  static absl::StatusOr<AddedVocabulary> FromJson(std::optional<JsonValue> value, const BpeModel& model,
                                                  const Normalizer* normalizer);

  // Null if `id` is no added token.
  const AddedToken* Find(int32_t id) const;
  std::optional<int32_t> TokenToId(absl::string_view content) const;
  // What an added token decodes to: its normalized form if it is looked for in normalized text.
  absl::string_view TextOf(int32_t id) const;
  // Whether decoding with skip_special_tokens leaves the token out.
  bool IsSkipped(int32_t id) const;
  std::vector<int32_t> ControlIds() const;
  // One more than the largest id; 0 if there are none.
  int32_t id_limit() const { return static_cast<int32_t>(index_of_id_.size()); }

  // Tokens to look for before and after normalization.
  const AddedTokenMatcher& raw_matcher() const { return raw_matcher_; }
  const AddedTokenMatcher& normalized_matcher() const { return normalized_matcher_; }

 private:
  struct Entry {
    AddedToken token;
    std::string text;
    bool is_skipped = false;
  };

  absl::Status Add(AddedToken token, const Normalizer* normalizer);
  const Entry* FindEntry(int32_t id) const;

  std::vector<Entry> entries_;
  std::vector<int32_t> index_of_id_;  // -1: not an added token
  absl::flat_hash_map<std::string, int32_t> id_of_content_;
  AddedTokenMatcher raw_matcher_;
  AddedTokenMatcher normalized_matcher_;
};

}  // namespace tandem::model::tokenizer
