// The filters and tests of Jinja2 (and from_json, which published chat templates use), each a Builtin whose `self` is
// the filtered or tested value.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/jinja/arguments.h"

namespace tandem::jinja {

const Builtin* FindFilter(absl::string_view name);
const Builtin* FindTest(absl::string_view name);

// The parts FindFilter is made of.
absl::Span<const Builtin> TextFilters();
absl::Span<const Builtin> NumberFilters();
absl::Span<const Builtin> SequenceFilters();
absl::Span<const Builtin> SelectionFilters();

// The value at the dotted path `attribute` ("function.name", or an index) of `item`, where each missing step becomes
// `fallback` if that is given.
Value AttributePath(const Value& item, const Value& attribute, const Value* fallback);
// Sorting and comparing of strings ignores case unless asked not to.
Value IgnoreCase(const Value& value);

}  // namespace tandem::jinja
