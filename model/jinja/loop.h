// The `loop` variable of a for loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "model/jinja/runtime.h"
#include "model/jinja/value.h"

namespace tandem::jinja {

class Loop : public Object, public CycleBreaker, public std::enable_shared_from_this<Loop> {
 public:
  // Renders the loop again over another iterable; null where the loop is not recursive.
  using Recurse = std::function<Value(const Value& iterable)>;

  // `depth`: of the value iterated over. `level`: 0 for the outermost loop of a recursion.
  Loop(Items items, int depth, int level, Recurse recurse)
      : Object(depth + 1), items_(std::move(items)), level_(level), recurse_(std::move(recurse)) {}

  void set_index(size_t index) { index_ = index; }
  size_t index() const { return index_; }

  std::string TypeName() const override { return "LoopContext"; }
  bool IsCallable() const override { return true; }
  Value Call(Runtime& runtime, const Arguments& arguments) override;
  std::optional<Value> GetAttribute(absl::string_view name) const override;
  std::optional<int64_t> Length() const override { return static_cast<int64_t>(items_->size()); }
  void DropReferences() override { last_changed_.reset(); }

  // loop.changed(values…): whether they differ from those of the previous call.
  bool Changed(Runtime& runtime, Value values);

 private:
  Value Neighbour(bool next) const;

  Items items_;
  size_t index_ = 0;
  int level_;
  Recurse recurse_;
  std::optional<Value> last_changed_;
};

}  // namespace tandem::jinja
