#include "model/jinja/loop.h"

#include "model/jinja/arguments.h"
#include "model/jinja/error.h"

namespace tandem::jinja {
namespace {

Loop& AsLoop(const Value& self) { return static_cast<Loop&>(*self.object()); }

Value Cycle(Runtime&, const Value& self, const BoundArguments& arguments) {
  const auto& choices = arguments.all().positional;
  if (choices.empty()) {
    Fail("no items for cycling given");
  }
  return choices[AsLoop(self).index() % choices.size()];
}

Value Changed(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  return Value::Bool(AsLoop(self).Changed(runtime, Value::Tuple(arguments.all().positional)));
}

constexpr Builtin kCycle = {"cycle", "*", Cycle};
constexpr Builtin kChanged = {"changed", "*", Changed};

}  // namespace

Value Loop::Call(Runtime&, const Arguments& arguments) {
  if (!recurse_) {
    Fail("The loop must have the 'recursive' marker to be called recursively.");
  }
  if (arguments.positional.size() != 1 || !arguments.keyword.empty()) {
    Fail("loop() takes exactly one argument, the iterable");
  }
  return recurse_(arguments.positional.front());
}

Value Loop::Neighbour(bool next) const {
  if (next ? index_ + 1 >= items_->size() : index_ == 0) {
    return Value::Undefined(next ? "there is no next item" : "there is no previous item");
  }
  return (*items_)[next ? index_ + 1 : index_ - 1];
}

std::optional<Value> Loop::GetAttribute(absl::string_view name) const {
  const auto index = static_cast<int64_t>(index_);
  const auto length = static_cast<int64_t>(items_->size());
  const std::pair<absl::string_view, int64_t> numbers[] = {
      {"index", index + 1}, {"index0", index},     {"revindex", length - index}, {"revindex0", length - index - 1},
      {"length", length},   {"depth", level_ + 1}, {"depth0", level_},
  };
  for (const auto& [known, number] : numbers) {
    if (name == known) {
      return Value::Int(number);
    }
  }
  if (name == "first" || name == "last") {
    return Value::Bool(name == "first" ? index == 0 : index + 1 == length);
  }
  if (name == "previtem" || name == "nextitem") {
    return Neighbour(name == "nextitem");
  }
  if (name == "cycle" || name == "changed") {
    auto self = std::const_pointer_cast<Loop>(shared_from_this());
    return BindBuiltin(name == "cycle" ? kCycle : kChanged, Value::Of(std::shared_ptr<Object>(std::move(self))));
  }
  return std::nullopt;
}

bool Loop::Changed(Runtime& runtime, Value values) {
  if (!last_changed_.has_value()) {
    runtime.BreakCyclesOf(shared_from_this());
  } else if (Equal(*last_changed_, values)) {
    return false;
  }
  last_changed_ = std::move(values);
  return true;
}

}  // namespace tandem::jinja
