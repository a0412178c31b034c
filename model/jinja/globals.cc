#include "model/jinja/globals.h"

#include <array>
#include <ctime>

#include "model/jinja/arguments.h"
#include "model/jinja/error.h"
#include "model/jinja/operations.h"
#include "model/jinja/representation.h"

namespace tandem::jinja {

class Namespace : public Object, public CycleBreaker {
 public:
  std::string TypeName() const override { return "Namespace"; }
  std::optional<Value> GetAttribute(absl::string_view name) const override {
    const auto found = attributes_.find(name);
    return found == attributes_.end() ? std::nullopt : std::optional<Value>(found->second);
  }
  void Set(absl::string_view name, Value value) { attributes_.insert_or_assign(std::string(name), std::move(value)); }
  void DropReferences() override { attributes_.clear(); }

 private:
  absl::flat_hash_map<std::string, Value> attributes_;
};

namespace {

constexpr int64_t kMaxRange = 100'000;  // of Python's sandbox

Value Range(Runtime& runtime, const Value&, const BoundArguments& arguments) {
  for (const Value& value : arguments.all().positional) {
    RequireInt(value, "range() argument");
  }
  const int64_t start = arguments.Has(1) ? arguments.Int(0, 0) : 0;
  const int64_t stop = arguments.Has(1) ? arguments.Int(1, 0) : arguments.Int(0, 0);
  const int64_t step = arguments.Int(2, 1);
  if (step == 0) {
    Fail("range() arg 3 must not be zero");
  }
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) == kMaxRange) {
      Fail("Range too big. The sandbox blocks ranges larger than MAX_RANGE (", kMaxRange, ").");
    }
    items.push_back(Value::Int(i));
    if (__builtin_add_overflow(i, step, &i)) {
      break;
    }
  }
  runtime.ChargeBytes(items.size() * sizeof(Value));
  return Value::Of(SequenceKind::kRange, std::move(items));
}

// The pairs of dict(...) and namespace(...): an optional dict or iterable of pairs, then keywords.
template <typename Set>
void ForEachPair(Runtime& runtime, const Arguments& arguments, Set set) {
  if (arguments.positional.size() > 1) {
    Fail("dict expected at most 1 argument, got ", arguments.positional.size());
  }
  for (const Value& source : arguments.positional) {
    if (source.IsDict()) {
      for (const auto& [key, value] : source.dict().entries()) {
        set(key, value);
      }
      continue;
    }
    const Items items = Iterate(runtime, source);
    for (const Value& item : *items) {
      const Items pair = Iterate(runtime, item);
      if (pair->size() != 2) {
        Fail("dictionary update sequence element has length ", pair->size(), "; 2 is required");
      }
      set((*pair)[0], (*pair)[1]);
    }
  }
  for (const auto& [name, value] : arguments.keyword) {
    set(Value::String(name), value);
  }
}

Value MakeDict(Runtime& runtime, const Value&, const BoundArguments& arguments) {
  Dict dict;
  ForEachPair(runtime, arguments.all(), [&](const Value& key, const Value& value) {
    runtime.ChargeBytes(sizeof(Dict::Entry));
    dict.Set(key, value);
  });
  return Value::Of(std::move(dict));
}

Value MakeNamespace(Runtime& runtime, const Value&, const BoundArguments& arguments) {
  auto made = std::make_shared<Namespace>();
  runtime.ChargeBytes(sizeof(Namespace));
  runtime.BreakCyclesOf(made);
  ForEachPair(runtime, arguments.all(),
              [&](const Value& key, const Value& value) { made->Set(Str(key).view(), value); });
  return Value::Of(std::shared_ptr<Object>(std::move(made)));
}

class Cycler : public Object {
 public:
  explicit Cycler(Value items) : Object(items.extent().depth + 1), items_(std::move(items)) {}
  std::string TypeName() const override { return "Cycler"; }
  std::optional<Value> GetAttribute(absl::string_view name) const override;
  const Value& current() const { return items_.sequence().items[position_]; }
  void Advance() { position_ = (position_ + 1) % items_.sequence().items.size(); }
  void Reset() { position_ = 0; }

 private:
  Value items_;
  size_t position_ = 0;
  friend Value MakeCycler(Runtime&, const Value&, const BoundArguments&);
  std::weak_ptr<Cycler> self_;
};

Value CyclerNext(Runtime&, const Value& self, const BoundArguments&) {
  auto& cycler = static_cast<Cycler&>(*self.object());
  Value current = cycler.current();
  cycler.Advance();
  return current;
}

Value CyclerReset(Runtime&, const Value& self, const BoundArguments&) {
  static_cast<Cycler&>(*self.object()).Reset();
  return Value::None();
}

constexpr Builtin kCyclerNext = {"next", "", CyclerNext};
constexpr Builtin kCyclerReset = {"reset", "", CyclerReset};

std::optional<Value> Cycler::GetAttribute(absl::string_view name) const {
  if (name == "current") {
    return current();
  }
  const Value self = Value::Of(std::shared_ptr<Object>(self_.lock()));
  if (name == "next") {
    return BindBuiltin(kCyclerNext, self);
  }
  return name == "reset" ? std::optional<Value>(BindBuiltin(kCyclerReset, self)) : std::nullopt;
}

Value MakeCycler(Runtime&, const Value&, const BoundArguments& arguments) {
  if (arguments.all().positional.empty()) {
    Fail("at least one item has to be provided");
  }
  auto cycler = std::make_shared<Cycler>(Value::Tuple(arguments.all().positional));
  cycler->self_ = cycler;
  return Value::Of(std::shared_ptr<Object>(std::move(cycler)));
}

class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : Object(separator.extent().depth + 1), separator_(std::move(separator)) {}
  std::string TypeName() const override { return "Joiner"; }
  bool IsCallable() const override { return true; }
  Value Call(Runtime&, const Arguments&) override {
    return std::exchange(used_, true) ? separator_ : Value::String("");
  }

 private:
  Value separator_;
  bool used_ = false;
};

Value MakeJoiner(Runtime&, const Value&, const BoundArguments& arguments) {
  return Value::Of(std::shared_ptr<Object>(std::make_shared<Joiner>(arguments.Or(0, Value::String(", ")))));
}

Value RaiseException(Runtime&, const Value&, const BoundArguments& arguments) { Fail(Str(arguments[0]).view()); }

Value FormatNow(Runtime& runtime, const Value&, const BoundArguments& arguments) {
  const std::string format = arguments.String(0).bytes();
  const std::tm now = absl::ToTM(runtime.options().now(), runtime.options().time_zone);
  std::array<char, 4096> buffer;
  const size_t length = std::strftime(buffer.data(), buffer.size(), format.c_str(), &now);
  return Value::String(absl::string_view(buffer.data(), length));
}

constexpr Builtin kGlobals[] = {
    {"range", "start|stop step", Range},   {"dict", "*", MakeDict},
    {"namespace", "*", MakeNamespace},     {"cycler", "*", MakeCycler},
    {"joiner", "|sep", MakeJoiner},        {"raise_exception", "message", RaiseException},
    {"strftime_now", "format", FormatNow},
};

}  // namespace

const Value* FindGlobal(absl::string_view name) {
  static const auto* const kValues = [] {
    auto* values = new absl::flat_hash_map<std::string, Value>();
    for (const Builtin& global : kGlobals) {
      values->emplace(std::string(global.name), BindBuiltin(global, Value::None()));
    }
    return values;
  }();
  const auto found = kValues->find(name);
  return found == kValues->end() ? nullptr : &found->second;
}

Namespace* AsNamespace(const Value& value) {
  return value.IsObject() ? dynamic_cast<Namespace*>(value.object().get()) : nullptr;
}

void SetAttribute(Namespace* target, absl::string_view name, Value value) { target->Set(name, std::move(value)); }

}  // namespace tandem::jinja
