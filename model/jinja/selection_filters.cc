// Filters that apply other filters and tests: map, select and their kin; and the table of all filters.
#include "model/jinja/error.h"
#include "model/jinja/filters.h"
#include "model/jinja/operations.h"

namespace tandem::jinja {
namespace {

Arguments From(const Arguments& all, size_t first) {
  Arguments rest;
  if (first < all.positional.size()) {
    rest.positional.assign(all.positional.begin() + static_cast<ptrdiff_t>(first), all.positional.end());
  }
  rest.keyword = all.keyword;
  return rest;
}

const Builtin& Require(const Builtin* found, absl::string_view what, const Value& name) {
  if (found == nullptr) {
    Fail("No ", what, " named '", name.IsString() ? name.view() : TypeName(name), "'.");
  }
  return *found;
}

Value MapAttribute(Runtime& runtime, const Value& self, const Arguments& all) {
  const Value* attribute = nullptr;
  const Value* fallback = nullptr;
  for (const auto& [name, value] : all.keyword) {
    if (name == "attribute") {
      attribute = &value;
    } else if (name == "default") {
      fallback = value.IsNone() ? nullptr : &value;
    } else {
      Fail("Unexpected keyword argument '", name, "'");
    }
  }
  if (attribute == nullptr) {
    Fail("map requires a filter argument");
  }
  std::vector<Value> out;
  const Items items = Iterate(runtime, self);
  for (const Value& item : *items) {
    runtime.ChargeStep();
    out.push_back(AttributePath(item, *attribute, fallback));
  }
  return Value::Iterator(std::move(out));
}

Value Map(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const Arguments& all = arguments.all();
  if (!Truthy(self)) {
    return Value::Iterator({});
  }
  if (all.positional.empty()) {
    return MapAttribute(runtime, self, all);
  }
  const Value& name = all.positional.front();
  const Builtin& filter = Require(name.IsString() ? FindFilter(name.view()) : nullptr, "filter", name);
  const Arguments rest = From(all, 1);
  std::vector<Value> out;
  const Items items = Iterate(runtime, self);
  for (const Value& item : *items) {
    runtime.ChargeStep();
    out.push_back(CallBuiltin(runtime, filter, item, rest));
  }
  return Value::Iterator(std::move(out));
}

// `keep`: the truth value that lets an item through.
template <bool keep, bool by_attribute>
Value Select(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  if (!Truthy(self)) {
    return Value::Iterator({});
  }
  const Arguments& all = arguments.all();
  constexpr size_t kTestIndex = by_attribute ? 1 : 0;
  if (by_attribute && all.positional.empty()) {
    Fail("Missing parameter for attribute name");
  }
  const bool has_test = all.positional.size() > kTestIndex;
  const Value name = has_test ? all.positional[kTestIndex] : Value();
  const Builtin* test = has_test ? &Require(name.IsString() ? FindTest(name.view()) : nullptr, "test", name) : nullptr;
  const Arguments rest = From(all, kTestIndex + 1);
  std::vector<Value> out;
  const Items items = Iterate(runtime, self);
  for (const Value& item : *items) {
    runtime.ChargeStep();
    const Value subject = by_attribute ? AttributePath(item, all.positional.front(), nullptr) : item;
    if (Truthy(test == nullptr ? subject : CallBuiltin(runtime, *test, subject, rest)) == keep) {
      out.push_back(item);
    }
  }
  return Value::Iterator(std::move(out));
}

constexpr Builtin kFilters[] = {
    {"map", "*", Map},
    {"select", "*", Select<true, false>},
    {"reject", "*", Select<false, false>},
    {"selectattr", "*", Select<true, true>},
    {"rejectattr", "*", Select<false, true>},
};

}  // namespace

absl::Span<const Builtin> SelectionFilters() { return kFilters; }

const Builtin* FindFilter(absl::string_view name) {
  for (const auto table : {TextFilters(), SequenceFilters(), SelectionFilters(), NumberFilters()}) {
    if (const Builtin* found = FindBuiltin(table, name); found != nullptr) {
      return found;
    }
  }
  return nullptr;
}

}  // namespace tandem::jinja
