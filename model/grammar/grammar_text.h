// Grammars as text, in two dialects: llama.cpp's GBNF ("name ::= ...", the start is "root") and simple Lark
// ("name: ...", the start is "start").
//
// Both: literals "…" with escapes, sequences, "|", parentheses, ?, *, +, comments (# or //). GBNF: classes [a-z], "."
// for any character, {n}, {n,}, {n,m}. Lark: [optional], /regular expressions/ (regex.h), "…"i, x~n and x~n..m, a "?"
// or "!" before a rule's name. Not in Lark: %ignore, %import, templates, aliases' effects. Rules may not begin with
// themselves.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/grammar/grammar.h"

namespace tandem::grammar {

// The texts of the start rule. Errors: INVALID_ARGUMENT with the line.
absl::StatusOr<Expression> GrammarText(absl::string_view text, GrammarBuilder& builder);

}  // namespace tandem::grammar
