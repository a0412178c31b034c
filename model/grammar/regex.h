// Regular expressions: what Python's `re` and ECMAScript understand alike.
//
// Characters, escapes, classes, groups (capturing or not), alternatives, greedy and lazy quantifiers, "^" and "$". \d,
// \w and \s mean their ASCII characters; \D and \W other ASCII characters, \S anything that no dialect calls space; "."
// is anything but the line ends of both dialects. What needs more than an automaton is refused: back references,
// look-around, word boundaries; so are possessive quantifiers, flags other than a leading (?i), and \p{…}.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/grammar/automaton.h"

namespace tandem::grammar {

enum class RegexMatch : uint8_t {
  kWhole,   // the whole text
  kSearch,  // any part of the text, as JSON schemas understand "pattern"
};

// The texts that `pattern` matches, over the bytes of their UTF-8.
// Errors: INVALID_ARGUMENT with the place and the reason.
absl::StatusOr<Automaton> CompileRegex(absl::string_view pattern, RegexMatch match, Budget& budget);

}  // namespace tandem::grammar
