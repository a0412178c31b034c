// Iteration, length, attributes, items and slices: the part of operations.h that looks inside values.
#include <algorithm>

#include "model/jinja/error.h"
#include "model/jinja/methods.h"
#include "model/jinja/operations.h"
#include "model/jinja/representation.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

std::vector<Value> Characters(const Value& value) {
  std::vector<Value> characters;
  const absl::string_view view = value.view();
  for (size_t pos = 0; pos < view.size();) {
    const size_t next = pos + utf8::DecodeAt(view, pos).length;
    characters.push_back(Value::String(value.text().Substr(pos, next), value.IsMarkup()));
    pos = next;
  }
  return characters;
}

std::vector<Value> Keys(const Dict& dict) {
  std::vector<Value> keys;
  keys.reserve(dict.size());
  for (const Dict::Entry& entry : dict.entries()) {
    keys.push_back(entry.first);
  }
  return keys;
}

bool IsIndexable(const Value& value) {
  return value.IsString() || value.IsSequence(SequenceKind::kList) || value.IsSequence(SequenceKind::kTuple) ||
         value.IsSequence(SequenceKind::kRange);
}

Value NoAttribute(const Value& object, const Value& key) {
  const std::string what = object.IsNone() ? "None" : absl::StrCat(TypeName(object), " object");
  if (key.IsString()) {
    return Value::Undefined(absl::StrCat("'", what, "' has no attribute '", key.view(), "'"));
  }
  return Value::Undefined(absl::StrCat(what, " has no element ", Repr(key).view()));
}

std::optional<Value> FindElement(const Value& object, int64_t index) {
  const int64_t length = *Length(object);
  if (index < 0) {
    index += length;
  }
  if (index < 0 || index >= length) {
    return std::nullopt;
  }
  if (!object.IsString()) {
    return object.sequence().items[static_cast<size_t>(index)];
  }
  const size_t begin = utf8::OffsetOf(object.view(), static_cast<size_t>(index));
  const size_t end = begin + utf8::DecodeAt(object.view(), begin).length;
  return Value::String(object.text().Substr(begin, end), object.IsMarkup());
}

// Python's object[key], or nothing where that raises TypeError or LookupError.
std::optional<Value> FindItem(const Value& object, const Value& key) {
  if (object.IsDict()) {
    const bool hashable = !key.IsDict() && !key.IsSequence(SequenceKind::kList);
    const Value* found = hashable ? object.dict().Find(key) : nullptr;
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (IsIndexable(object) && key.IsIntegral()) {
    return FindElement(object, key.integral());
  }
  return std::nullopt;
}

struct SliceRange {
  int64_t start;
  int64_t step;
  int64_t count;
};

// Python's slice.indices().
SliceRange ResolveSlice(const Value& start, const Value& stop, const Value& step, int64_t length) {
  const int64_t stride = step.IsNone() ? 1 : RequireInt(step, "slice step");
  if (stride == 0) {
    Fail("slice step cannot be zero");
  }
  const int64_t lowest = stride < 0 ? -1 : 0;
  const int64_t highest = stride < 0 ? length - 1 : length;
  const auto resolve = [&](const Value& bound, int64_t missing) {
    if (bound.IsNone()) {
      return missing;
    }
    int64_t index = RequireInt(bound, "slice index");
    if (index < 0) {
      index = index < -length ? lowest : index + length;
    }
    return std::clamp(index, lowest, highest);
  };
  const int64_t first = resolve(start, stride < 0 ? highest : lowest);
  const int64_t last = resolve(stop, stride < 0 ? lowest : highest);
  const int64_t distance = stride < 0 ? first - last : last - first;
  // -(stride + 1) cannot overflow, -stride can.
  const uint64_t size = stride < 0 ? static_cast<uint64_t>(-(stride + 1)) + 1 : static_cast<uint64_t>(stride);
  const uint64_t count = distance <= 0 ? 0 : (static_cast<uint64_t>(distance) - 1) / size + 1;
  return {first, stride, static_cast<int64_t>(count)};
}

Text SliceText(const Text& text, const SliceRange& range) {
  if (range.step == 1) {
    const size_t begin = utf8::OffsetOf(text.view(), static_cast<size_t>(range.start));
    return text.Substr(begin, begin + utf8::OffsetOf(text.view().substr(begin), static_cast<size_t>(range.count)));
  }
  std::vector<size_t> offsets;
  for (size_t pos = 0; pos < text.size(); pos += utf8::DecodeAt(text.view(), pos).length) {
    offsets.push_back(pos);
  }
  offsets.push_back(text.size());
  Text out;
  for (int64_t i = 0; i < range.count; ++i) {
    const auto index = static_cast<size_t>(range.start + i * range.step);
    out.Append(text.Substr(offsets[index], offsets[index + 1]));
  }
  return out;
}

}  // namespace

bool IsIterable(const Value& value) {
  return value.IsUndefined() || value.IsString() || value.IsSequence() || value.IsDict();
}

Items Iterate(Runtime& runtime, const Value& value) {
  if (value.IsSequence()) {
    const Sequence& sequence = value.sequence();
    const size_t consumed =
        std::exchange(sequence.consumed, sequence.kind == SequenceKind::kIterator ? sequence.items.size() : size_t{0});
    if (consumed == 0) {
      return value.items();
    }
    return std::make_shared<const std::vector<Value>>(sequence.items.begin() + static_cast<ptrdiff_t>(consumed),
                                                      sequence.items.end());
  }
  if (value.IsDict()) {
    runtime.ChargeBytes(value.dict().size() * sizeof(Value));
    return std::make_shared<const std::vector<Value>>(Keys(value.dict()));
  }
  if (value.IsString()) {
    runtime.ChargeBytes(value.view().size() * (sizeof(Value) + sizeof(StringData)));
    return std::make_shared<const std::vector<Value>>(Characters(value));
  }
  if (value.IsUndefined()) {
    return std::make_shared<const std::vector<Value>>();
  }
  Fail("'", TypeName(value), "' object is not iterable");
}

std::optional<int64_t> Length(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kUndefined:
      return 0;
    case Value::Kind::kString:
      return static_cast<int64_t>(utf8::Length(value.view()));
    case Value::Kind::kDict:
      return static_cast<int64_t>(value.dict().size());
    case Value::Kind::kObject:
      return value.object()->Length();
    case Value::Kind::kSequence:
      if (value.IsSequence(SequenceKind::kIterator)) {
        return std::nullopt;
      }
      return static_cast<int64_t>(value.sequence().items.size());
    default:
      return std::nullopt;
  }
}

std::optional<Value> FindAttribute(const Value& object, absl::string_view name) {
  if (object.IsObject()) {
    return object.object()->GetAttribute(name);
  }
  return FindMethod(object, name);
}

Value GetAttribute(const Value& object, absl::string_view name) {
  RequireDefined(object);
  if (auto attribute = FindAttribute(object, name)) {
    return *std::move(attribute);
  }
  if (object.IsDict()) {
    if (const Value* found = object.dict().Find(name); found != nullptr) {
      return *found;
    }
  }
  return NoAttribute(object, Value::String(name));
}

Value GetItem(const Value& object, const Value& key) {
  RequireDefined(object);
  if (auto item = FindItem(object, key)) {
    return *std::move(item);
  }
  if (key.IsString()) {
    if (auto attribute = FindAttribute(object, key.view())) {
      return *std::move(attribute);
    }
  }
  return NoAttribute(object, key);
}

Value GetSlice(Runtime& runtime, const Value& object, const Value& start, const Value& stop, const Value& step) {
  RequireDefined(object);
  if (!IsIndexable(object)) {
    Fail("'", TypeName(object), "' object cannot be sliced");
  }
  const SliceRange range = ResolveSlice(start, stop, step, *Length(object));
  runtime.ChargeBytes(static_cast<size_t>(range.count) * sizeof(Value));
  if (object.IsString()) {
    return Value::String(SliceText(object.text(), range), object.IsMarkup());
  }
  const Sequence& sequence = object.sequence();
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(range.count));
  for (int64_t i = 0; i < range.count; ++i) {
    items.push_back(sequence.items[static_cast<size_t>(range.start + i * range.step)]);
  }
  return Value::Of(sequence.kind, std::move(items));
}

}  // namespace tandem::jinja
