// A compiled regular expression over valid UTF-8, run by PCRE2's JIT. Immutable and thread-safe once compiled.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/unicode.h"

struct pcre2_real_code_8;

namespace tandem::model::tokenizer {

class Regex {
 public:
  // Compiles a pattern written in Oniguruma's dialect (see regex_translate.h). Errors: INVALID_ARGUMENT.
  static absl::StatusOr<Regex> Compile(absl::string_view oniguruma_pattern);

  // Calls visit(begin, end) for each match of `text`, from left to right, in bytes. An empty match directly behind the
  // previous match is skipped, as in Oniguruma's iterator. Precondition: `text` is valid UTF-8.
  // Errors: RESOURCE_EXHAUSTED when the text drives the pattern over PCRE2's backtracking limits.
  template <typename Visit>
  absl::Status ForEachMatch(absl::string_view text, Visit visit) const;

 private:
  enum class Outcome { kMatch, kNoMatch, kError };
  struct CodeDeleter {
    void operator()(pcre2_real_code_8* code) const;
  };

  Regex(std::string pattern, pcre2_real_code_8* code, bool has_jit);

  // First match at or after byte `from`. On kError `*begin` holds PCRE2's error number.
  Outcome Search(absl::string_view text, size_t from, size_t* begin, size_t* end) const;
  absl::Status SearchError(size_t code) const;

  std::string pattern_;
  std::unique_ptr<pcre2_real_code_8, CodeDeleter> code_;
  bool has_jit_;
};

template <typename Visit>
absl::Status Regex::ForEachMatch(absl::string_view text, Visit visit) const {
  size_t from = 0;
  size_t previous_end = absl::string_view::npos;
  while (from <= text.size()) {
    size_t begin = 0;
    size_t end = 0;
    const Outcome outcome = Search(text, from, &begin, &end);
    if (outcome == Outcome::kError) return SearchError(begin);
    if (outcome == Outcome::kNoMatch) break;
    // \K can place the start behind the end; such a match is empty.
    if (begin >= end) {
      if (end != previous_end) visit(end, end);
      previous_end = end;
      from = end + (end < text.size() ? Utf8Length(static_cast<unsigned char>(text[end])) : 1);
      continue;
    }
    visit(begin, end);
    previous_end = from = end;
  }
  return absl::OkStatus();
}

}  // namespace tandem::model::tokenizer
