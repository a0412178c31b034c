// The variables of one block. Assignments stay in the innermost block, look-ups go outwards.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "model/jinja/ast.h"
#include "model/jinja/runtime.h"

namespace tandem::jinja {

class Scope : public CycleBreaker {
 public:
  explicit Scope(std::shared_ptr<Scope> parent) : parent_(std::move(parent)) {}

  // Null when neither this block nor an outer one has set it; valid until the next Set.
  const Value* Find(Symbol symbol) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) {
      for (const auto& [name, value] : scope->variables_) {
        if (name == symbol) {
          return &value;
        }
      }
    }
    return nullptr;
  }

  void Set(Symbol symbol, Value value) {
    for (auto& [name, present] : variables_) {
      if (name == symbol) {
        present = std::move(value);
        return;
      }
    }
    variables_.emplace_back(symbol, std::move(value));
  }

  // A macro refers to the scope it was defined in, which holds the macro.
  void DropReferences() override { variables_.clear(); }
  bool captured() const { return captured_; }
  void set_captured() { captured_ = true; }

 private:
  std::shared_ptr<Scope> parent_;
  std::vector<std::pair<Symbol, Value>> variables_;
  bool captured_ = false;
};

}  // namespace tandem::jinja
