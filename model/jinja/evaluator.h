// Walks an Ast and prints it. One evaluator renders once, on one thread.
#pragma once

#include <memory>
#include <vector>

#include "model/jinja/ast.h"
#include "model/jinja/runtime.h"
#include "model/jinja/scope.h"

namespace tandem::jinja {

class Evaluator {
 public:
  // All three must outlive the evaluator.
  Evaluator(const Ast& ast, const Variables& variables, const RenderOptions& options);

  // The rendered text. Throws TemplateError, with the line.
  Text Run();

 private:
  friend class MacroObject;
  enum class Flow { kNext, kBreak, kContinue };

  // Expressions (expression_evaluator.cc).
  Value Evaluate(const Expression& expression);
  Value EvaluateOr(const ExpressionPtr& expression, Value fallback);
  Value Eval(const Constant& node);
  Value Eval(const Name& node);
  Value Eval(const SequenceDisplay& node);
  Value Eval(const DictDisplay& node);
  Value Eval(const Not& node);
  Value Eval(const Sign& node);
  Value Eval(const Binary& node);
  Value Eval(const Logical& node);
  Value Eval(const Comparison& node);
  Value Eval(const Concatenation& node);
  Value Eval(const Conditional& node);
  Value Eval(const AttributeAccess& node);
  Value Eval(const ItemAccess& node);
  Value Eval(const SliceAccess& node);
  Value Eval(const Call& node);
  Value Eval(const Filter& node);
  Value Eval(const Test& node);
  Value Lookup(Symbol symbol) const;
  Value CallValue(const Value& callee, const Arguments& arguments);
  Arguments EvaluateArguments(const CallArguments& arguments);

  // Statements (evaluator.cc).
  Flow Execute(const Body& body);
  Flow Exec(const Data& node);
  Flow Exec(const Print& node);
  Flow Exec(const If& node);
  Flow Exec(const For& node);
  Flow Exec(const Set& node);
  Flow Exec(const SetBlock& node);
  Flow Exec(const Macro& node);
  Flow Exec(const CallBlock& node);
  Flow Exec(const FilterBlock& node);
  Flow Exec(const With& node);
  Flow Exec(const Break&) { return Flow::kBreak; }
  Flow Exec(const Continue&) { return Flow::kContinue; }
  void Write(const Text& text);
  void Assign(const Target& target, const Value& value);
  // Runs `body` in a scope of its own and gives what it printed; `flow` receives how it ended.
  Value Capture(const Body& body, const ExpressionPtr& filter, Flow* flow);

  // Loops and macros (evaluator_blocks.cc).
  void RunLoop(const For& node, const Value& iterable, int level);
  Items LoopItems(const For& node, const Value& iterable);
  Value MakeMacro(const MacroDefinition& definition);
  Value CallMacro(const MacroDefinition& definition, const std::shared_ptr<Scope>& scope, const Arguments& arguments);
  void BindParameters(const MacroDefinition& definition, const Arguments& arguments);
  // Arguments beyond the parameters: kwargs and varargs. `taken` marks the keywords bound already.
  void BindSurplus(const MacroDefinition& definition, const Arguments& arguments, const std::vector<bool>& taken);

  // Swaps in `scope` while it lives.
  class ScopeGuard;

  const Ast& ast_;
  Runtime runtime_;
  std::vector<const Value*> globals_;  // by symbol: the given variables, then the global functions; null: undefined
  std::shared_ptr<Scope> scope_;
  Text* out_ = nullptr;
  const Value* block_text_ = nullptr;  // what a filter without operand applies to
  int line_ = 0;
};

class Evaluator::ScopeGuard {
 public:
  ScopeGuard(Evaluator& evaluator, std::shared_ptr<Scope> scope)
      : evaluator_(evaluator), saved_(std::exchange(evaluator.scope_, std::move(scope))) {}
  ~ScopeGuard() { evaluator_.scope_ = std::move(saved_); }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;

 private:
  Evaluator& evaluator_;
  std::shared_ptr<Scope> saved_;
};

}  // namespace tandem::jinja
