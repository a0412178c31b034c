// Functions written in C++ that templates can call: their parameters, how arguments are bound to them (as Python does,
// with the same TypeErrors), and typed access to the bound values.
#pragma once

#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/jinja/runtime.h"
#include "model/jinja/value.h"

namespace tandem::jinja {

// The arguments of one call, in the order of the function's parameters; absent ones read as their default.
class BoundArguments {
 public:
  BoundArguments(const Arguments& all, std::vector<const Value*> bound) : all_(all), bound_(std::move(bound)) {}

  const Arguments& all() const { return all_; }
  bool Has(size_t i) const { return i < bound_.size() && bound_[i] != nullptr; }
  const Value& operator[](size_t i) const { return *bound_[i]; }
  // Given and not none.
  bool IsSet(size_t i) const { return Has(i) && !bound_[i]->IsNone(); }
  Value Or(size_t i, Value fallback) const { return Has(i) ? *bound_[i] : std::move(fallback); }
  // The typed readers fail when the argument has another type.
  int64_t Int(size_t i, int64_t fallback) const;
  bool Bool(size_t i, bool fallback) const;
  Text String(size_t i, absl::string_view fallback = "") const;
  std::optional<Text> OptionalString(size_t i) const;  // nothing when absent or none

 private:
  const Arguments& all_;
  std::vector<const Value*> bound_;
};

using BuiltinFunction = Value (*)(Runtime& runtime, const Value& self, const BoundArguments& arguments);

struct Builtin {
  absl::string_view name;
  // Parameter names separated by blanks; those after '|' are optional; "*" takes anything unbound.
  absl::string_view parameters;
  BuiltinFunction function;
};

// Binds `arguments` and calls.
Value CallBuiltin(Runtime& runtime, const Builtin& builtin, const Value& self, const Arguments& arguments);

// `table` is sorted or not, it is small; null when absent.
const Builtin* FindBuiltin(absl::Span<const Builtin> table, absl::string_view name);

// A callable value that runs `builtin` on `self`: a bound method, or a global function.
Value BindBuiltin(const Builtin& builtin, const Value& self);

}  // namespace tandem::jinja
