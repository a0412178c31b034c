// Pre-tokenizers that cut at matches: Split, Digits, Punctuation, Whitespace, WhitespaceSplit.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/regex.h"

namespace tandem::model::tokenizer {

// What becomes of the matches.
enum class SplitBehavior {
  kIsolated,            // each match is a piece
  kRemoved,             // dropped
  kMergedWithPrevious,  // joined to the text before
  kMergedWithNext,      // joined to the text behind
  kContiguous,          // runs of adjacent matches are one piece
};

absl::StatusOr<SplitBehavior> ParseSplitBehavior(absl::string_view name);

// A stretch of a piece, relative to it. The stretches of a piece cover it in order.
struct Stretch {
  uint32_t begin;
  uint32_t end;
  bool is_match;
};

// Adds the pieces that `behavior` makes of the stretches, shifted by `offset`.
void ApplySplitBehavior(const std::vector<Stretch>& stretches, SplitBehavior behavior, size_t offset, PieceList* list);

// Cuts at the matches of a regex, or, if inverted, at what lies between them.
class RegexSplit : public PreTokenizer {
 public:
  RegexSplit(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}
  absl::Status Apply(PieceList* list) const override;

 private:
  absl::Status Isolate(PieceList* list) const;

  Regex regex_;
  SplitBehavior behavior_;
  bool invert_;
};

// Cuts at single characters of a kind.
class CharacterSplit : public PreTokenizer {
 public:
  using Predicate = bool (*)(uint32_t code_point);
  CharacterSplit(Predicate is_match, SplitBehavior behavior) : is_match_(is_match), behavior_(behavior) {}
  absl::Status Apply(PieceList* list) const override;

 private:
  Predicate is_match_;
  SplitBehavior behavior_;
};

// Pieces are runs of word characters and runs of characters that are neither word nor space.
class WordRuns : public PreTokenizer {
 public:
  absl::Status Apply(PieceList* list) const override;
};

}  // namespace tandem::model::tokenizer
