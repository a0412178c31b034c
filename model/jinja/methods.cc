#include "model/jinja/methods.h"

#include <algorithm>

#include "model/jinja/arguments.h"
#include "model/jinja/error.h"
#include "model/jinja/operations.h"
#include "model/jinja/string_methods.h"

namespace tandem::jinja {
namespace {

Value DictGet(Runtime&, const Value& self, const BoundArguments& arguments) {
  const Value* found = self.dict().Find(arguments[0]);
  return found == nullptr ? arguments.Or(1, Value::None()) : *found;
}

Value DictKeys(Runtime& runtime, const Value& self, const BoundArguments&) {
  return Value::Of(SequenceKind::kKeysView, *Iterate(runtime, self));
}

Value DictValues(Runtime& runtime, const Value& self, const BoundArguments&) {
  runtime.ChargeBytes(self.dict().size() * sizeof(Value));
  std::vector<Value> values;
  for (const Dict::Entry& entry : self.dict().entries()) {
    values.push_back(entry.second);
  }
  return Value::Of(SequenceKind::kValuesView, std::move(values));
}

Value DictItems(Runtime& runtime, const Value& self, const BoundArguments&) {
  runtime.ChargeBytes(self.dict().size() * sizeof(Value) * 4);
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict().entries()) {
    items.push_back(Value::Tuple({key, value}));
  }
  return Value::Of(SequenceKind::kItemsView, std::move(items));
}

// Values are immutable, so a copy is the value itself.
Value Copy(Runtime&, const Value& self, const BoundArguments&) { return self; }

Value SequenceIndex(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  runtime.ChargeBytes(self.extent().weight);
  const auto& items = self.sequence().items;
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const Value& item) { return Equal(item, arguments[0]); });
  if (found == items.end()) {
    Fail("the value is not in the ", TypeName(self));
  }
  return Value::Int(found - items.begin());
}

Value SequenceCount(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  runtime.ChargeBytes(self.extent().weight);
  const auto& items = self.sequence().items;
  return Value::Int(
      std::count_if(items.begin(), items.end(), [&](const Value& item) { return Equal(item, arguments[0]); }));
}

constexpr Builtin kDictMethods[] = {
    {"get", "key|default", DictGet}, {"items", "", DictItems}, {"keys", "", DictKeys},
    {"values", "", DictValues},      {"copy", "", Copy},
};
constexpr Builtin kListMethods[] = {
    {"index", "value", SequenceIndex}, {"count", "value", SequenceCount}, {"copy", "", Copy}};
constexpr Builtin kTupleMethods[] = {{"index", "value", SequenceIndex}, {"count", "value", SequenceCount}};

constexpr absl::string_view kDictMutators[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr absl::string_view kListMutators[] = {"append", "clear",  "extend",  "insert",
                                               "pop",    "remove", "reverse", "sort"};

struct Methods {
  absl::Span<const Builtin> allowed;
  absl::Span<const absl::string_view> refused;
};

Methods MethodsOf(const Value& self) {
  if (self.IsString()) {
    return {StringMethods(), {}};
  }
  if (self.IsDict()) {
    return {kDictMethods, kDictMutators};
  }
  if (self.IsSequence(SequenceKind::kList)) {
    return {kListMethods, kListMutators};
  }
  if (self.IsSequence(SequenceKind::kTuple) || self.IsSequence(SequenceKind::kRange)) {
    return {kTupleMethods, {}};
  }
  return {};
}

}  // namespace

std::optional<Value> FindMethod(const Value& self, absl::string_view name) {
  const Methods methods = MethodsOf(self);
  if (const Builtin* found = FindBuiltin(methods.allowed, name); found != nullptr) {
    return BindBuiltin(*found, self);
  }
  if (std::find(methods.refused.begin(), methods.refused.end(), name) != methods.refused.end()) {
    return Value::Undefined(absl::StrCat("access to attribute '", name, "' of '", TypeName(self),
                                         "' object is unsafe: a template cannot change its data"));
  }
  return std::nullopt;
}

}  // namespace tandem::jinja
