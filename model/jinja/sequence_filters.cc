// Filters over lists and dicts that need no other filter or test.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "model/jinja/error.h"
#include "model/jinja/filters.h"
#include "model/jinja/operations.h"
#include "model/jinja/representation.h"
#include "model/jinja/text_operations.h"

namespace tandem::jinja {
namespace {

Value LengthFilter(Runtime&, const Value& self, const BoundArguments&) {
  const auto length = Length(self);
  if (!length.has_value()) {
    Fail("object of type '", TypeName(self), "' has no len()");
  }
  return Value::Int(*length);
}

Value Default(Runtime&, const Value& self, const BoundArguments& arguments) {
  const bool replaces = self.IsUndefined() || (arguments.Bool(1, false) && !Truthy(self));
  return replaces ? arguments.Or(0, Value::String("")) : self;
}

Value First(Runtime& runtime, const Value& self, const BoundArguments&) {
  if (self.IsSequence(SequenceKind::kIterator)) {
    const Sequence& sequence = self.sequence();
    if (sequence.consumed < sequence.items.size()) {
      return sequence.items[sequence.consumed++];
    }
  } else if (const Items items = Iterate(runtime, self); !items->empty()) {
    return items->front();
  }
  return Value::Undefined("No first item, sequence was empty.");
}

Value Last(Runtime& runtime, const Value& self, const BoundArguments&) {
  if (self.IsSequence(SequenceKind::kIterator)) {
    Fail("'generator' object is not reversible");
  }
  const Items items = Iterate(runtime, self);
  return items->empty() ? Value::Undefined("No last item, sequence was empty.") : items->back();
}

Value ListFilter(Runtime& runtime, const Value& self, const BoundArguments&) {
  if (self.IsSequence(SequenceKind::kList)) {
    return self;
  }
  const Items items = Iterate(runtime, self);
  runtime.ChargeBytes(items->size() * sizeof(Value));
  return Value::List(*items);
}

Value ItemsFilter(Runtime& runtime, const Value& self, const BoundArguments&) {
  if (self.IsUndefined()) {
    return Value::Iterator({});
  }
  if (!self.IsDict()) {
    Fail("Can only get item pairs from a mapping.");
  }
  const Value view = GetAttribute(self, "items").object()->Call(runtime, {});
  return Value::Iterator(view.sequence().items);
}

Value JoinFilter(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  std::vector<Text> parts;
  runtime.ChargeBytes(self.extent().weight);
  const Items items = Iterate(runtime, self);
  for (const Value& item : *items) {
    parts.push_back(Str(arguments.IsSet(1) ? AttributePath(item, arguments[1], nullptr) : item));
  }
  return Value::String(Join(runtime, arguments.Has(0) ? Str(arguments[0]) : Text(), parts));
}

Value Reverse(Runtime& runtime, const Value& self, const BoundArguments&) {
  const Value step = Value::Int(-1);
  if (self.IsString()) {
    return GetSlice(runtime, self, Value::None(), Value::None(), step);
  }
  const Items items = Iterate(runtime, self);
  runtime.ChargeBytes(items->size() * sizeof(Value));
  std::vector<Value> reversed(items->rbegin(), items->rend());
  // Python reverses what it can in place of a copy, which prints and tests like an iterator.
  return self.IsSequence(SequenceKind::kIterator) ? Value::List(std::move(reversed))
                                                  : Value::Iterator(std::move(reversed));
}

// Sorts by key, keeping the order of equal keys, also when reversed.
std::vector<Value> SortBy(Runtime& runtime, const std::vector<Value>& items, std::vector<Value> keys, bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t left, size_t right) {
    runtime.ChargeStep();
    runtime.ChargeBytes(std::min(keys[left].extent().weight, keys[right].extent().weight));
    return reverse ? Less(keys[right], keys[left]) : Less(keys[left], keys[right]);
  });
  std::vector<Value> sorted;
  sorted.reserve(items.size());
  for (const size_t i : order) {
    sorted.push_back(items[i]);
  }
  return sorted;
}

Value KeyOf(const Value& item, const Value* attribute, bool case_sensitive) {
  const Value value = attribute == nullptr ? item : AttributePath(item, *attribute, nullptr);
  return case_sensitive ? value : IgnoreCase(value);
}

// The key of `sort`: `attribute` may name several attributes, separated by commas.
Value SortKey(const Value& item, const Value* attribute, bool case_sensitive) {
  if (attribute == nullptr || !attribute->IsString() || !absl::StrContains(attribute->view(), ',')) {
    return KeyOf(item, attribute, case_sensitive);
  }
  std::vector<Value> keys;
  for (const absl::string_view part : absl::StrSplit(attribute->view(), ',')) {
    const Value name = Value::String(part);
    keys.push_back(KeyOf(item, &name, case_sensitive));
  }
  return Value::List(std::move(keys));
}

Value Sort(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const Items items = Iterate(runtime, self);
  const Value* attribute = arguments.IsSet(2) ? &arguments[2] : nullptr;
  std::vector<Value> keys;
  for (const Value& item : *items) {
    keys.push_back(SortKey(item, attribute, arguments.Bool(1, false)));
  }
  return Value::List(SortBy(runtime, *items, std::move(keys), arguments.Bool(0, false)));
}

Value DictSort(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  RequireDefined(self);
  const Text by = arguments.String(1, "key");
  if (by.view() != "key" && by.view() != "value") {
    Fail("You can only sort by either \"key\" or \"value\"");
  }
  if (!self.IsDict()) {
    Fail("'", TypeName(self), "' object has no attribute 'items'");
  }
  const Value view = GetAttribute(self, "items").object()->Call(runtime, {});
  std::vector<Value> keys;
  for (const Value& item : view.sequence().items) {
    const Value& key = item.sequence().items[by.view() == "key" ? 0 : 1];
    keys.push_back(arguments.Bool(0, false) ? key : IgnoreCase(key));
  }
  return Value::List(SortBy(runtime, view.sequence().items, std::move(keys), arguments.Bool(2, false)));
}

Value Unique(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const Items items = Iterate(runtime, self);
  const Value* attribute = arguments.IsSet(1) ? &arguments[1] : nullptr;
  Dict seen;
  std::vector<Value> unique;
  for (const Value& item : *items) {
    Value key = KeyOf(item, attribute, arguments.Bool(0, false));
    runtime.ChargeStep();
    runtime.ChargeBytes(key.extent().weight);
    if (seen.Find(key) == nullptr) {
      seen.Set(std::move(key), Value::None());
      unique.push_back(item);
    }
  }
  return Value::Iterator(std::move(unique));
}

template <bool maximum>
Value Extreme(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const Items items = Iterate(runtime, self);
  const Value* attribute = arguments.IsSet(1) ? &arguments[1] : nullptr;
  if (items->empty()) {
    return Value::Undefined("No aggregated item, sequence was empty.");
  }
  size_t best = 0;
  Value best_key = KeyOf(items->front(), attribute, arguments.Bool(0, false));
  for (size_t i = 1; i < items->size(); ++i) {
    Value key = KeyOf((*items)[i], attribute, arguments.Bool(0, false));
    if (maximum ? Less(best_key, key) : Less(key, best_key)) {
      best = i;
      best_key = std::move(key);
    }
  }
  return (*items)[best];
}

Value Sum(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  Value total = arguments.Or(1, Value::Int(0));
  if (total.IsString()) {
    Fail("sum() can't sum strings [use ''.join(seq) instead]");
  }
  const Items items = Iterate(runtime, self);
  for (const Value& item : *items) {
    total = Apply(runtime, BinaryOperator::kAdd, total,
                  arguments.IsSet(0) ? AttributePath(item, arguments[0], nullptr) : item);
  }
  return total;
}

Value Batch(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const int64_t size = arguments.Int(0, 0);
  const Items items = Iterate(runtime, self);
  std::vector<Value> batches;
  std::vector<Value> batch;
  for (const Value& item : *items) {
    if (static_cast<int64_t>(batch.size()) == size) {
      batches.push_back(Value::List(std::exchange(batch, {})));
    }
    batch.push_back(item);
  }
  if (!batch.empty()) {
    if (arguments.IsSet(1) && static_cast<int64_t>(batch.size()) < size) {
      runtime.ChargeBytes(sizeof(Value), static_cast<size_t>(size) - batch.size());
      batch.resize(static_cast<size_t>(size), arguments[1]);
    }
    batches.push_back(Value::List(std::move(batch)));
  }
  return Value::Iterator(std::move(batches));
}

Value Slice(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const int64_t slices = arguments.Int(0, 0);
  const Items items = Iterate(runtime, self);
  if (slices == 0) {
    Fail("integer division or modulo by zero");
  }
  runtime.ChargeBytes(sizeof(Value) + sizeof(Sequence), static_cast<size_t>(std::max<int64_t>(slices, 0)));
  const auto length = static_cast<int64_t>(items->size());
  std::vector<Value> parts;
  auto begin = items->begin();
  for (int64_t i = 0; i < slices; ++i) {
    const bool extra = i < length % slices;
    const auto end = begin + length / slices + (extra ? 1 : 0);
    std::vector<Value> part(begin, end);
    if (arguments.IsSet(1) && !extra) {
      part.push_back(arguments[1]);
    }
    begin = end;
    parts.push_back(Value::List(std::move(part)));
  }
  return Value::Iterator(std::move(parts));
}

Value GroupBy(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const Value* fallback = arguments.IsSet(1) ? &arguments[1] : nullptr;
  const auto key_of = [&](const Value& item) {
    const Value key = AttributePath(item, arguments[0], fallback);
    return arguments.Bool(2, false) ? key : IgnoreCase(key);
  };
  const Items items = Iterate(runtime, self);
  std::vector<Value> keys;
  for (const Value& item : *items) {
    keys.push_back(key_of(item));
  }
  std::vector<Value> groups;
  std::vector<Value> group;
  const std::vector<Value> sorted = SortBy(runtime, *items, std::move(keys), false);
  for (size_t i = 0; i < sorted.size(); ++i) {
    group.push_back(sorted[i]);
    if (i + 1 == sorted.size() || !Equal(key_of(sorted[i]), key_of(sorted[i + 1]))) {
      Value grouper = AttributePath(group.front(), arguments[0], fallback);
      groups.push_back(Value::Tuple({std::move(grouper), Value::List(std::exchange(group, {}))}));
    }
  }
  return Value::List(std::move(groups));
}

Value AttributeFilter(Runtime&, const Value& self, const BoundArguments& arguments) {
  const Text name = arguments.String(0);
  RequireDefined(self);
  auto found = FindAttribute(self, name.view());
  return found.has_value()
             ? *std::move(found)
             : Value::Undefined(absl::StrCat("'", TypeName(self), " object' has no attribute '", name.view(), "'"));
}

constexpr Builtin kFilters[] = {
    {"length", "", LengthFilter},
    {"count", "", LengthFilter},
    {"default", "|default_value boolean", Default},
    {"d", "|default_value boolean", Default},
    {"list", "", ListFilter},
    {"items", "", ItemsFilter},
    {"join", "|d attribute", JoinFilter},
    {"first", "", First},
    {"last", "", Last},
    {"reverse", "", Reverse},
    {"sort", "|reverse case_sensitive attribute", Sort},
    {"dictsort", "|case_sensitive by reverse", DictSort},
    {"unique", "|case_sensitive attribute", Unique},
    {"min", "|case_sensitive attribute", Extreme<false>},
    {"max", "|case_sensitive attribute", Extreme<true>},
    {"sum", "|attribute start", Sum},
    {"batch", "linecount|fill_with", Batch},
    {"slice", "slices|fill_with", Slice},
    {"groupby", "attribute|default case_sensitive", GroupBy},
    {"attr", "name", AttributeFilter},
};

bool IsIndex(absl::string_view part) {
  return !part.empty() && part.find_first_not_of("0123456789") == absl::string_view::npos;
}

}  // namespace

Value AttributePath(const Value& item, const Value& attribute, const Value* fallback) {
  const auto step = [&](const Value& from, const Value& key) {
    Value found = GetItem(from, key);
    return found.IsUndefined() && fallback != nullptr ? *fallback : found;
  };
  if (!attribute.IsString()) {
    return step(item, attribute);
  }
  Value current = item;
  for (const absl::string_view part : absl::StrSplit(attribute.view(), '.')) {
    int64_t index = 0;
    current = step(current, IsIndex(part) && absl::SimpleAtoi(part, &index) ? Value::Int(index) : Value::String(part));
  }
  return current;
}

Value IgnoreCase(const Value& value) { return value.IsString() ? Value::String(Lower(value.text())) : value; }

absl::Span<const Builtin> SequenceFilters() { return kFilters; }

}  // namespace tandem::jinja
