// The values of the template language, with Python's types and semantics. Every value but a namespace is immutable, as
// in the sandbox that renders chat templates in Python: containers can be shared freely and cannot form cycles.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "model/jinja/text.h"

namespace tandem::jinja {

class Dict;
class Object;
class Value;

using Items = std::shared_ptr<const std::vector<Value>>;

// What a sequence was in Python; they differ in printing, indexing and tests. A kIterator (generator) is used up by the
// first iteration; the views are those of dict.keys() and friends.
enum class SequenceKind { kList, kTuple, kRange, kIterator, kKeysView, kValuesView, kItemsView };

// How large a value is when printed in full. Values share parts, so a few steps of a hostile template could make one
// that would print for years; limiting both numbers when a container is made keeps every walk over a value short.
struct Extent {
  int depth = 1;      // 1 for a leaf, 1 + the deepest element for a container
  size_t weight = 1;  // values and bytes of text in it, shared parts counted each time

  void Add(const Extent& element) {
    depth = depth > element.depth ? depth : element.depth + 1;
    weight += element.weight;
  }
};
inline constexpr int kMaxValueDepth = 200;
inline constexpr size_t kMaxValueWeight = size_t{256} << 20;

struct Sequence {
  SequenceKind kind;
  std::vector<Value> items;
  Extent extent;
  mutable size_t consumed = 0;  // kIterator only; such values never outlive one rendering
};

struct StringData {
  Text text;
  bool markup;  // Python's Markup: text already escaped for HTML
};

class Value {
 public:
  struct UndefinedReason {
    std::string message;
  };
  struct NoneType {};
  enum class Kind { kUndefined, kNone, kBool, kInt, kFloat, kString, kSequence, kDict, kObject };

  Value() : data_(NoneType{}) {}
  static Value None() { return Value(); }
  static Value Undefined(std::string why) {
    return Value(std::make_shared<const UndefinedReason>(UndefinedReason{std::move(why)}));
  }
  static Value Bool(bool value) { return Value(value); }
  static Value Int(int64_t value) { return Value(value); }
  static Value Float(double value) { return Value(value); }
  static Value String(Text text, bool markup = false) {
    return Value(std::make_shared<const StringData>(StringData{std::move(text), markup}));
  }
  static Value String(absl::string_view text) { return String(Text(std::string(text))); }
  // Containers fail with RESOURCE_EXHAUSTED beyond kMaxValueDepth or kMaxValueWeight.
  static Value Of(SequenceKind kind, std::vector<Value> items);
  static Value List(std::vector<Value> items) { return Of(SequenceKind::kList, std::move(items)); }
  static Value Tuple(std::vector<Value> items) { return Of(SequenceKind::kTuple, std::move(items)); }
  static Value Iterator(std::vector<Value> items) { return Of(SequenceKind::kIterator, std::move(items)); }
  static Value Of(Dict dict);
  static Value Of(std::shared_ptr<Object> object) { return Value(std::move(object)); }

  // Objects become dicts in their order. `from_input` marks every string, keys included (see Text).
  // Integers beyond 64 signed bits become floats.
  static Value FromJson(const nlohmann::ordered_json& json, bool from_input);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool IsUndefined() const { return kind() == Kind::kUndefined; }
  bool IsNone() const { return kind() == Kind::kNone; }
  bool IsBool() const { return kind() == Kind::kBool; }
  bool IsInt() const { return kind() == Kind::kInt; }
  bool IsFloat() const { return kind() == Kind::kFloat; }
  bool IsString() const { return kind() == Kind::kString; }
  bool IsDict() const { return kind() == Kind::kDict; }
  bool IsObject() const { return kind() == Kind::kObject; }
  bool IsSequence() const { return kind() == Kind::kSequence; }
  bool IsSequence(SequenceKind wanted) const { return IsSequence() && sequence().kind == wanted; }
  bool IsMarkup() const { return IsString() && std::get<StringPtr>(data_)->markup; }
  // Python's bool is an int.
  bool IsIntegral() const { return IsInt() || IsBool(); }
  bool IsNumber() const { return IsIntegral() || IsFloat(); }

  // Each accessor requires the kind it names; Integral and Number take what IsIntegral and IsNumber take.
  const std::string& reason() const { return std::get<UndefinedPtr>(data_)->message; }
  bool boolean() const { return std::get<bool>(data_); }
  int64_t integral() const { return IsBool() ? static_cast<int64_t>(boolean()) : std::get<int64_t>(data_); }
  double number() const { return IsFloat() ? std::get<double>(data_) : static_cast<double>(integral()); }
  const Text& text() const { return std::get<StringPtr>(data_)->text; }
  absl::string_view view() const { return text().view(); }
  const Sequence& sequence() const { return *std::get<SequencePtr>(data_); }
  Items items() const;  // of a sequence, sharing its storage
  const Dict& dict() const { return *std::get<DictPtr>(data_); }
  const std::shared_ptr<Object>& object() const { return std::get<std::shared_ptr<Object>>(data_); }

  // The same object in memory, as Python's `is`; small immutable values compare by value.
  bool SameAs(const Value& other) const;
  Extent extent() const;

 private:
  using UndefinedPtr = std::shared_ptr<const UndefinedReason>;
  using StringPtr = std::shared_ptr<const StringData>;
  using SequencePtr = std::shared_ptr<const Sequence>;
  using DictPtr = std::shared_ptr<const Dict>;
  // In the order of Kind.
  using Data = std::variant<UndefinedPtr, NoneType, bool, int64_t, double, StringPtr, SequencePtr, DictPtr,
                            std::shared_ptr<Object>>;
  template <typename T>
  explicit Value(T data) : data_(std::move(data)) {}

  Data data_;
};

// Insertion-ordered; keys compare by Python's == and hash. Looking up an unhashable key (list, dict) fails.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  const Extent& extent() const { return extent_; }

  const Value* Find(const Value& key) const;  // null when absent; valid until the next Set
  const Value* Find(absl::string_view key) const;
  void Set(Value key, Value value);

 private:
  template <typename Matches>
  const Entry* FindEntry(size_t hash, Matches matches) const;

  std::vector<Entry> entries_;
  absl::flat_hash_map<size_t, std::vector<uint32_t>> index_;  // by hash; built for larger dicts only
  Extent extent_;
};

// By name.
using Variables = absl::flat_hash_map<std::string, Value>;

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

class Runtime;

// Everything that is neither plain data nor a container: functions, macros, namespaces, the `loop` variable.
class Object {
 public:
  // `depth` is that of the values the object holds on to.
  explicit Object(int depth = 1) : depth_(depth) {}
  virtual ~Object() = default;
  virtual std::string TypeName() const = 0;  // as Python's type(x).__name__
  virtual bool IsCallable() const { return false; }
  virtual Value Call(Runtime& runtime, const Arguments& arguments);
  // Null when there is no such attribute.
  virtual std::optional<Value> GetAttribute(absl::string_view name) const;
  virtual std::string Repr() const;
  virtual std::optional<int64_t> Length() const { return std::nullopt; }
  int depth() const { return depth_; }

 private:
  int depth_;
};

// 'str', 'dict', 'NoneType', … for messages.
std::string TypeName(const Value& value);

// Python's == and hash(). Hashing fails for lists and dicts.
bool Equal(const Value& left, const Value& right);
size_t Hash(const Value& value);

}  // namespace tandem::jinja
