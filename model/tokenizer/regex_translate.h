// Rewrites an Oniguruma (Ruby syntax) pattern, the dialect of tokenizer.json, for PCRE2 with UTF and UCP.
//
// Differences bridged: \s, \w and \h, class intersections (`&&`), nested classes, `{,n}`, `{n,m}+` (a repeated
// repetition, not a possessive one), (?m) for dot-all, long category names, and general categories of characters
// assigned after PCRE2's Unicode version. Everything else is common to both dialects.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::model::tokenizer {

// Errors: INVALID_ARGUMENT on an unbalanced class or an unfinished escape; PCRE2 finds the remaining mistakes.
absl::StatusOr<std::string> TranslateOnigurumaRegex(absl::string_view pattern);

// The pattern that matches exactly `text`.
std::string EscapeRegex(absl::string_view text);

}  // namespace tandem::model::tokenizer
