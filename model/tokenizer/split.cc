#include "model/tokenizer/split.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

// Joins each match with the stretch before it, unless that is a match too.
void MergeWithPrevious(std::vector<Stretch>* stretches) {
  std::vector<Stretch> merged;
  bool previous_match = false;
  for (const Stretch& stretch : *stretches) {
    if (stretch.is_match && !previous_match && !merged.empty()) {
      merged.back().end = stretch.end;
    } else {
      merged.push_back(stretch);
    }
    previous_match = stretch.is_match;
  }
  *stretches = std::move(merged);
}

void MergeWithNext(std::vector<Stretch>* stretches) {
  std::vector<Stretch> merged;
  bool next_match = false;
  for (auto stretch = stretches->rbegin(); stretch != stretches->rend(); ++stretch) {
    if (stretch->is_match && !next_match && !merged.empty()) {
      merged.back().begin = stretch->begin;
    } else {
      merged.push_back(*stretch);
    }
    next_match = stretch->is_match;
  }
  stretches->assign(merged.rbegin(), merged.rend());
}

void MergeRuns(std::vector<Stretch>* stretches) {
  std::vector<Stretch> merged;
  for (const Stretch& stretch : *stretches) {
    if (!merged.empty() && merged.back().is_match == stretch.is_match) {
      merged.back().end = stretch.end;
    } else {
      merged.push_back(stretch);
    }
  }
  *stretches = std::move(merged);
}

}  // namespace

absl::StatusOr<SplitBehavior> ParseSplitBehavior(absl::string_view name) {
  static constexpr std::pair<absl::string_view, SplitBehavior> kNames[] = {
      {"Isolated", SplitBehavior::kIsolated},
      {"Removed", SplitBehavior::kRemoved},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  for (const auto& [known, behavior] : kNames) {
    if (name == known) return behavior;
  }
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: pre_tokenizer.behavior \"", name, "\" is unknown"));
}

void ApplySplitBehavior(const std::vector<Stretch>& stretches, SplitBehavior behavior, size_t offset, PieceList* list) {
  std::vector<Stretch> kept = stretches;
  if (behavior == SplitBehavior::kMergedWithPrevious) MergeWithPrevious(&kept);
  if (behavior == SplitBehavior::kMergedWithNext) MergeWithNext(&kept);
  if (behavior == SplitBehavior::kContiguous) MergeRuns(&kept);
  for (const Stretch& stretch : kept) {
    if (behavior == SplitBehavior::kRemoved && stretch.is_match) continue;
    list->Add(offset + stretch.begin, offset + stretch.end);
  }
}

absl::Status RegexSplit::Apply(PieceList* list) const {
  if (behavior_ == SplitBehavior::kIsolated) return Isolate(list);
  std::vector<Stretch> stretches;
  for (const Piece piece : list->pieces()) {
    const absl::string_view text = list->TextOf(piece);
    stretches.clear();
    size_t done = 0;
    const auto add = [&](size_t begin, size_t end, bool is_match) {
      stretches.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), is_match != invert_});
    };
    RETURN_IF_ERROR(regex_.ForEachMatch(text, [&](size_t begin, size_t end) {
      if (done != begin) add(done, begin, false);
      add(begin, end, true);
      done = end;
    }));
    if (done != text.size()) add(done, text.size(), false);
    ApplySplitBehavior(stretches, behavior_, piece.begin, list);
  }
  list->Commit();
  return absl::OkStatus();
}

// The common case, without a list of stretches: matches and what lies between them are alike.
absl::Status RegexSplit::Isolate(PieceList* list) const {
  for (const Piece piece : list->pieces()) {
    size_t done = piece.begin;
    RETURN_IF_ERROR(regex_.ForEachMatch(list->TextOf(piece), [&](size_t begin, size_t end) {
      list->Add(done, piece.begin + begin);
      list->Add(piece.begin + begin, piece.begin + end);
      done = piece.begin + end;
    }));
    list->Add(done, piece.end);
  }
  list->Commit();
  return absl::OkStatus();
}

absl::Status CharacterSplit::Apply(PieceList* list) const {
  std::vector<Stretch> stretches;
  for (const Piece piece : list->pieces()) {
    const absl::string_view text = list->TextOf(piece);
    stretches.clear();
    size_t pos = 0;
    while (pos < text.size()) {
      const uint32_t begin = static_cast<uint32_t>(pos);
      const bool is_match = is_match_(NextCodePoint(text, &pos));
      const uint32_t end = static_cast<uint32_t>(pos);
      // Each matching character is a match of its own; the others run together.
      if (!is_match && !stretches.empty() && !stretches.back().is_match) {
        stretches.back().end = end;
      } else {
        stretches.push_back({begin, end, is_match});
      }
    }
    ApplySplitBehavior(stretches, behavior_, piece.begin, list);
  }
  list->Commit();
  return absl::OkStatus();
}

absl::Status WordRuns::Apply(PieceList* list) const {
  enum class Kind { kSpace, kWord, kOther };
  for (const Piece piece : list->pieces()) {
    const absl::string_view text = list->TextOf(piece);
    Kind run_kind = Kind::kSpace;
    size_t run_begin = 0;
    size_t pos = 0;
    const auto finish_run = [&](size_t end) {
      if (run_kind != Kind::kSpace) list->Add(piece.begin + run_begin, piece.begin + end);
      run_begin = end;
    };
    while (pos < text.size()) {
      const size_t begin = pos;
      const uint32_t code_point = NextCodePoint(text, &pos);
      const Kind kind = IsWordCharacter(code_point) ? Kind::kWord
                        : IsWhiteSpace(code_point)  ? Kind::kSpace
                                                    : Kind::kOther;
      if (kind != run_kind) finish_run(begin);
      run_kind = kind;
    }
    finish_run(text.size());
  }
  list->Commit();
  return absl::OkStatus();
}

}  // namespace tandem::model::tokenizer
