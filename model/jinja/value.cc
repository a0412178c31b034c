#include "model/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/hash/hash.h"
#include "model/jinja/error.h"

namespace tandem::jinja {
namespace {

constexpr size_t kLinearSearchLimit = 8;

const Extent& Checked(const Extent& extent) {
  if (extent.depth > kMaxValueDepth) {
    FailLimit("values are nested deeper than ", kMaxValueDepth, " levels");
  }
  if (extent.weight > kMaxValueWeight) {
    FailLimit("a list or dict holds more than ", kMaxValueWeight, " bytes");
  }
  return extent;
}

bool EqualNumbers(const Value& left, const Value& right) {
  if (left.IsIntegral() && right.IsIntegral()) {
    return left.integral() == right.integral();
  }
  return left.number() == right.number();
}

bool EqualSequences(const Sequence& left, const Sequence& right) {
  if (&left == &right) {
    return true;
  }
  if (left.kind != right.kind || left.kind == SequenceKind::kIterator || left.kind == SequenceKind::kValuesView) {
    return false;
  }
  return std::equal(left.items.begin(), left.items.end(), right.items.begin(), right.items.end(), Equal);
}

bool EqualDicts(const Dict& left, const Dict& right) {
  return left.size() == right.size() &&
         std::all_of(left.entries().begin(), left.entries().end(), [&](const Dict::Entry& entry) {
           const Value* other = right.Find(entry.first);
           return other != nullptr && Equal(entry.second, *other);
         });
}

Value Convert(const nlohmann::ordered_json& json, bool from_input, int depth);

Value JsonArray(const nlohmann::ordered_json& json, bool from_input, int depth) {
  std::vector<Value> items;
  items.reserve(json.size());
  for (const auto& item : json) {
    items.push_back(Convert(item, from_input, depth + 1));
  }
  return Value::List(std::move(items));
}

Value JsonObject(const nlohmann::ordered_json& json, bool from_input, int depth) {
  Dict dict;
  for (const auto& [key, item] : json.items()) {
    dict.Set(Value::String(Text(key, from_input)), Convert(item, from_input, depth + 1));
  }
  return Value::Of(std::move(dict));
}

// `depth` stops the recursion before a hostile document overflows the stack.
Value Convert(const nlohmann::ordered_json& json, bool from_input, int depth) {
  if (depth > kMaxValueDepth) {
    FailLimit("a JSON document is nested deeper than ", kMaxValueDepth, " levels");
  }
  using Type = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Type::null:
      return Value::None();
    case Type::boolean:
      return Value::Bool(json.get<bool>());
    case Type::number_integer:
      return Value::Int(json.get<int64_t>());
    case Type::number_unsigned: {
      const auto number = json.get<uint64_t>();
      return number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
                 ? Value::Int(static_cast<int64_t>(number))
                 : Value::Float(static_cast<double>(number));
    }
    case Type::number_float:
      return Value::Float(json.get<double>());
    case Type::string:
      return Value::String(Text(json.get_ref<const std::string&>(), from_input));
    case Type::array:
      return JsonArray(json, from_input, depth);
    case Type::object:
      return JsonObject(json, from_input, depth);
    default:
      Fail("a JSON value of type ", json.type_name(), " has no counterpart in a template");
  }
}

}  // namespace

Value Value::Of(SequenceKind kind, std::vector<Value> items) {
  Extent extent;
  for (const Value& item : items) {
    extent.Add(item.extent());
  }
  return Value(std::make_shared<const Sequence>(Sequence{kind, std::move(items), Checked(extent)}));
}

Value Value::Of(Dict dict) {
  Checked(dict.extent());
  return Value(std::make_shared<const Dict>(std::move(dict)));
}

Value Value::FromJson(const nlohmann::ordered_json& json, bool from_input) { return Convert(json, from_input, 1); }

Items Value::items() const {
  const auto& owner = std::get<SequencePtr>(data_);
  return Items(owner, &owner->items);
}

bool Value::SameAs(const Value& other) const {
  if (kind() != other.kind()) {
    return false;
  }
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kSequence:
    case Kind::kDict:
    case Kind::kObject:
      return std::visit(
          [&](const auto& data) {
            if constexpr (requires { data.get(); }) {
              return data.get() == std::get<std::decay_t<decltype(data)>>(other.data_).get();
            } else {
              return false;
            }
          },
          data_);
    default:
      return Equal(*this, other);
  }
}

Extent Value::extent() const {
  switch (kind()) {
    case Kind::kString:
      return {1, 1 + text().size()};
    case Kind::kSequence:
      return sequence().extent;
    case Kind::kDict:
      return dict().extent();
    case Kind::kObject:
      return {object()->depth(), 1};
    default:
      return {};
  }
}

template <typename Matches>
const Dict::Entry* Dict::FindEntry(size_t hash, Matches matches) const {
  if (index_.empty()) {
    const auto found = std::find_if(entries_.begin(), entries_.end(), matches);
    return found == entries_.end() ? nullptr : &*found;
  }
  const auto bucket = index_.find(hash);
  if (bucket == index_.end()) {
    return nullptr;
  }
  for (const uint32_t position : bucket->second) {
    if (matches(entries_[position])) {
      return &entries_[position];
    }
  }
  return nullptr;
}

const Value* Dict::Find(const Value& key) const {
  const Entry* entry = FindEntry(Hash(key), [&](const Entry& candidate) { return Equal(candidate.first, key); });
  return entry == nullptr ? nullptr : &entry->second;
}

const Value* Dict::Find(absl::string_view key) const {
  const size_t hash = index_.empty() ? 0 : absl::HashOf(key);
  const Entry* entry = FindEntry(
      hash, [&](const Entry& candidate) { return candidate.first.IsString() && candidate.first.view() == key; });
  return entry == nullptr ? nullptr : &entry->second;
}

void Dict::Set(Value key, Value value) {
  extent_.Add(key.extent());
  extent_.Add(value.extent());
  if (const Value* present = Find(key); present != nullptr) {
    *const_cast<Value*>(present) = std::move(value);
    return;
  }
  entries_.emplace_back(std::move(key), std::move(value));
  if (entries_.size() <= kLinearSearchLimit) {
    return;
  }
  for (size_t i = index_.empty() ? 0 : entries_.size() - 1; i < entries_.size(); ++i) {
    index_[Hash(entries_[i].first)].push_back(static_cast<uint32_t>(i));
  }
}

Value Object::Call(Runtime&, const Arguments&) { Fail("'", TypeName(), "' object is not callable"); }

std::optional<Value> Object::GetAttribute(absl::string_view) const { return std::nullopt; }

std::string Object::Repr() const { return absl::StrCat("<", TypeName(), ">"); }

std::string TypeName(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kUndefined:
      return "Undefined";
    case Value::Kind::kNone:
      return "NoneType";
    case Value::Kind::kBool:
      return "bool";
    case Value::Kind::kInt:
      return "int";
    case Value::Kind::kFloat:
      return "float";
    case Value::Kind::kString:
      return value.IsMarkup() ? "Markup" : "str";
    case Value::Kind::kDict:
      return "dict";
    case Value::Kind::kObject:
      return value.object()->TypeName();
    case Value::Kind::kSequence:
      break;
  }
  switch (value.sequence().kind) {
    case SequenceKind::kList:
      return "list";
    case SequenceKind::kTuple:
      return "tuple";
    case SequenceKind::kRange:
      return "range";
    case SequenceKind::kIterator:
      return "generator";
    case SequenceKind::kKeysView:
      return "dict_keys";
    case SequenceKind::kValuesView:
      return "dict_values";
    case SequenceKind::kItemsView:
      return "dict_items";
  }
  return "object";
}

bool Equal(const Value& left, const Value& right) {
  if (left.IsNumber() && right.IsNumber()) {
    return EqualNumbers(left, right);
  }
  if (left.kind() != right.kind()) {
    return false;
  }
  switch (left.kind()) {
    case Value::Kind::kString:
      return left.view() == right.view();
    case Value::Kind::kSequence:
      return EqualSequences(left.sequence(), right.sequence());
    case Value::Kind::kDict:
      return EqualDicts(left.dict(), right.dict());
    case Value::Kind::kObject:
      return left.object() == right.object();
    default:
      return true;  // both undefined or both none
  }
}

size_t Hash(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kBool:
    case Value::Kind::kInt:
      return absl::HashOf(value.integral());
    case Value::Kind::kFloat: {
      // 1.0 and 1 are the same key.
      const double number = value.number();
      const bool integral = std::trunc(number) == number && std::abs(number) < 9e18;
      return integral ? absl::HashOf(static_cast<int64_t>(number)) : absl::HashOf(number);
    }
    case Value::Kind::kString:
      return absl::HashOf(value.view());
    case Value::Kind::kObject:
      return absl::HashOf(value.object().get());
    case Value::Kind::kDict:
      Fail("unhashable type: 'dict'");
    case Value::Kind::kSequence: {
      if (value.IsSequence(SequenceKind::kList)) {
        Fail("unhashable type: 'list'");
      }
      size_t hash = value.sequence().items.size();
      for (const Value& item : value.sequence().items) {
        hash = absl::HashOf(hash, Hash(item));
      }
      return hash;
    }
    default:
      return static_cast<size_t>(value.kind());
  }
}

}  // namespace tandem::jinja
