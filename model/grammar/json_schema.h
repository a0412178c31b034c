// JSON schemas as grammars: every text that is matched validates (drafts 4 to 2020-12). Where a schema leaves a choice
// that no one misses, it is made:
//
//   - properties come in the schema's order; optional ones may be left out. A schema with properties gets further ones
//     only where it says "additionalProperties" (or they are required), and after the others;
//   - without "type", keywords imply it: "properties" an object, "pattern" a string;
//   - texts are compact (json_text.h), numbers have at most 15 digits, unbounded nesting of "any value" is cut;
//   - strings with a pattern or format, and names of further properties, have escapes only where they need them.
//
// What cannot be promised is refused with its place: not, if, contains, dependent…, unevaluatedItems, uniqueItems,
// references out of the schema, multiples of fractions, and oneOf unless its alternatives exclude each other by type,
// by values, or by a required property's values.
#pragma once

#include "absl/status/statusor.h"
#include "model/grammar/json_text.h"

namespace tandem::grammar {

// The texts of `schema`. Expressions belong to `builder`; `text` makes expressions for the same one.
// Errors: INVALID_ARGUMENT, with the JSON pointer of the keyword at fault.
absl::StatusOr<Expression> JsonSchema(const Json& schema, GrammarBuilder& builder, JsonText& text);

}  // namespace tandem::grammar
