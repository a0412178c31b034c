// Byte-pair encoding of single words: the "model" block of tokenizer.json.
//
// A word starts as one symbol per character (or per byte, for byte-level vocabularies); the adjacent pair of the lowest
// merge rank, leftmost first, is replaced by its merged token until no pair is left. Source: Sennrich et al., "Neural
// Machine Translation of Rare Words with Subword Units" (arXiv:1508.07909).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/json_fields.h"
#include "model/tokenizer/merge_table.h"
#include "model/tokenizer/word_cache.h"

namespace tandem::model::tokenizer {

class BpeModel {
 public:
  // Memory for encoding: a word cache and buffers. Not thread-safe, and bound to the model it was first used with.
  struct Scratch {
    WordCache cache;
    std::vector<int32_t> ids;
    std::vector<MergeTable::Merge> merges;  // merge of symbol i with the next one
    std::vector<int32_t> previous;
    std::vector<int32_t> next;
    std::vector<uint64_t> heap;
    std::string alphabet_word;
    bool avoid_control = false;
  };

  // Reads the "model" block. With `byte_level`, words given to EncodeWord are raw bytes and the vocabulary is written
  // in the byte alphabet. Errors: INVALID_ARGUMENT for a broken block, UNIMPLEMENTED for features of other models.
  static absl::StatusOr<std::unique_ptr<BpeModel>> FromJson(JsonValue model, bool byte_level);

  BpeModel(const BpeModel&) = delete;
  BpeModel& operator=(const BpeModel&) = delete;

  // Names the tokens that EncodeWord must be able to avoid. Call before the model is shared.
  void SetControlTokens(absl::Span<const int32_t> ids);

  // Appends the ids of one word. With `avoid_control` no merge ends in a control token, so that a word of a user cannot
  // become one. Thread-safe as long as each thread has its own scratch.
  void EncodeWord(absl::string_view word, bool avoid_control, Scratch* scratch, std::vector<int32_t>* out) const;

  // One more than the largest id.
  int32_t id_limit() const { return static_cast<int32_t>(tokens_.size()); }
  // Number of tokens; smaller than id_limit() if the ids have gaps.
  int32_t token_count() const { return static_cast<int32_t>(vocab_.size()); }

  std::optional<int32_t> TokenToId(absl::string_view token) const;
  bool Has(int32_t id) const { return id >= 0 && id < id_limit() && is_used_[id]; }
  // The token as written in the vocabulary; empty for an id that names no token.
  absl::string_view IdToToken(int32_t id) const;

 private:
  // How one character or byte enters the merge loop.
  struct Start {
    int32_t id = kUnknown;          // the character's own token, or
    std::vector<int32_t> fallback;  // its byte tokens if it has none
  };
  static constexpr int32_t kUnknown = -1;

  explicit BpeModel(bool byte_level) : byte_level_(byte_level) {}

  absl::Status ReadOptions(JsonObject model);
  absl::Status ReadVocabulary(JsonObject model);
  absl::Status ReadMerges(JsonObject model);
  absl::Status AddMerge(absl::string_view left, absl::string_view right, uint32_t rank);
  void BuildStarts();
  Start StartOf(absl::string_view character) const;

  MergeTable::Merge FindMerge(int32_t left, int32_t right, bool avoid_control) const;
  bool IsControl(int32_t id) const { return static_cast<size_t>(id) < is_control_.size() && is_control_[id]; }

  void EncodeCached(absl::string_view word, Scratch* scratch, std::vector<int32_t>* out) const;
  void EncodeUncached(absl::string_view word, Scratch* scratch, std::vector<int32_t>* out) const;
  void EncodePart(absl::string_view part, Scratch* scratch, std::vector<int32_t>* out) const;
  void PushSymbols(absl::string_view part, std::vector<int32_t>* ids) const;
  int32_t CharacterId(absl::string_view character, uint32_t code_point) const;
  void MergeShort(Scratch* scratch) const;
  void MergeLong(Scratch* scratch) const;

  bool byte_level_;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
  bool fuse_unk_ = false;
  int32_t unk_id_ = kUnknown;
  std::deque<std::string> tokens_;  // by id; vocab_ points into it
  std::vector<bool> is_used_;       // by id
  absl::flat_hash_map<absl::string_view, int32_t> vocab_;
  MergeTable merge_table_;
  std::vector<bool> is_merged_;         // by id: some merge ends in it
  std::vector<bool> is_control_;        // by id; may be shorter than tokens_
  bool can_reach_control_ = false;      // some word encodes to a control token
  std::array<Start, 256> byte_starts_;  // byte_level_ only
  bool all_bytes_known_ = false;
  std::vector<int32_t> low_character_ids_;  // by code point below kLowCodePoints
  std::array<int32_t, 256> fallback_ids_;   // <0x00> ... <0xFF>
  // True if no merge joins a token's end with a following word mark U+2581: words may be cut before the mark.
  bool cut_at_word_mark_ = false;
};

}  // namespace tandem::model::tokenizer
