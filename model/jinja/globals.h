// The functions every template can call: range, dict, namespace, cycler, joiner, and those Hugging Face adds
// (raise_exception, strftime_now).
#pragma once

#include "absl/strings/string_view.h"
#include "model/jinja/value.h"

namespace tandem::jinja {

// Null when there is no such function. Valid for the life of the process.
const Value* FindGlobal(absl::string_view name);

// The one mutable kind of value: {% set ns.name = value %}.
class Namespace;
// Null when `value` is something else.
Namespace* AsNamespace(const Value& value);
void SetAttribute(Namespace* target, absl::string_view name, Value value);

}  // namespace tandem::jinja
