// The operators of the language over values, as Python defines them. They fail with Python's TypeError messages.
#pragma once

#include <cstdint>
#include <optional>

#include "model/jinja/runtime.h"
#include "model/jinja/value.h"

namespace tandem::jinja {

enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class CompareOperator { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

bool Truthy(const Value& value);
Value Apply(Runtime& runtime, BinaryOperator op, const Value& left, const Value& right);
Value Negate(const Value& value);
Value Plus(const Value& value);

bool Compare(Runtime& runtime, CompareOperator op, const Value& left, const Value& right);
bool Less(const Value& left, const Value& right);
bool Contains(Runtime& runtime, const Value& container, const Value& item);

// The elements that iterating over `value` gives: characters of a string, keys of a dict, nothing for undefined. Uses
// up an iterator. Fails for what Python cannot iterate over.
Items Iterate(Runtime& runtime, const Value& value);
bool IsIterable(const Value& value);
// Python's len(), or nothing where it raises.
std::optional<int64_t> Length(const Value& value);

// `object.name`: attributes and methods first, then items; `object[key]`: the other way round. Undefined when absent;
// fails when `object` is undefined.
Value GetAttribute(const Value& object, absl::string_view name);
Value GetItem(const Value& object, const Value& key);
// `object[start:stop:step]`; each bound is an integer or none. Fails for what cannot be sliced.
Value GetSlice(Runtime& runtime, const Value& object, const Value& start, const Value& stop, const Value& step);
// Attributes and methods only; null when absent.
std::optional<Value> FindAttribute(const Value& object, absl::string_view name);

// Fails with the reason when `value` is undefined.
void RequireDefined(const Value& value);
// The value of an int, or a TypeError that names `what`.
int64_t RequireInt(const Value& value, absl::string_view what);

}  // namespace tandem::jinja
