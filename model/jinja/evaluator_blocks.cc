// Loops and macros, the blocks that run their bodies more than once.
#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "model/jinja/error.h"
#include "model/jinja/evaluator.h"
#include "model/jinja/loop.h"
#include "model/jinja/operations.h"
#include "model/jinja/representation.h"

namespace tandem::jinja {
namespace {

Symbol FindSymbol(const Ast& ast, absl::string_view name) {
  return static_cast<Symbol>(std::find(ast.symbols.begin(), ast.symbols.end(), name) - ast.symbols.begin());
}

bool HasParameter(const MacroDefinition& definition, absl::string_view name) {
  return std::any_of(definition.parameters.begin(), definition.parameters.end(),
                     [&](const Parameter& parameter) { return parameter.name == name; });
}

}  // namespace

class MacroObject : public Object {
 public:
  MacroObject(Evaluator& evaluator, const MacroDefinition& definition, std::shared_ptr<Scope> scope)
      : evaluator_(evaluator), definition_(definition), scope_(std::move(scope)) {}
  std::string TypeName() const override { return "Macro"; }
  bool IsCallable() const override { return true; }
  std::string Repr() const override { return absl::StrCat("<Macro '", definition_.name, "'>"); }
  std::optional<Value> GetAttribute(absl::string_view name) const override {
    return name == "name" ? std::optional<Value>(Value::String(definition_.name)) : std::nullopt;
  }
  Value Call(Runtime&, const Arguments& arguments) override {
    return evaluator_.CallMacro(definition_, scope_, arguments);
  }

 private:
  Evaluator& evaluator_;
  const MacroDefinition& definition_;
  std::shared_ptr<Scope> scope_;
};

Evaluator::Flow Evaluator::Exec(const For& node) {
  RunLoop(node, Evaluate(*node.iterable), 0);
  return Flow::kNext;
}

Items Evaluator::LoopItems(const For& node, const Value& iterable) {
  Items items = Iterate(runtime_, iterable);
  if (node.condition == nullptr) {
    return items;
  }
  std::vector<Value> kept;
  const ScopeGuard guard(*this, std::make_shared<Scope>(scope_));
  for (const Value& item : *items) {
    runtime_.ChargeStep();
    Assign(node.target, item);
    if (Truthy(Evaluate(*node.condition))) {
      kept.push_back(item);
    }
  }
  return std::make_shared<const std::vector<Value>>(std::move(kept));
}

void Evaluator::RunLoop(const For& node, const Value& iterable, int level) {
  const Items items = LoopItems(node, iterable);
  const std::shared_ptr<Scope> outer = scope_;
  Loop::Recurse recurse;
  if (node.recursive) {
    recurse = [this, &node, outer, level](const Value& inner) {
      const Runtime::Nested nested(runtime_);
      const ScopeGuard guard(*this, outer);
      Text text;
      Text* const saved = std::exchange(out_, &text);
      const absl::Cleanup restore = [&] { out_ = saved; };
      RunLoop(node, inner, level + 1);
      runtime_.ChargeBytes(text.size());
      return Value::String(std::move(text));
    };
  }
  const auto loop = std::make_shared<Loop>(items, iterable.extent().depth, level, std::move(recurse));
  const Value loop_value = Value::Of(std::shared_ptr<Object>(loop));
  const Symbol loop_symbol = FindSymbol(ast_, "loop");
  // As in Python's generated code, `else` runs unless some iteration got to the end of the body.
  bool completed = false;
  for (size_t i = 0; i < items->size(); ++i) {
    runtime_.ChargeStep();
    loop->set_index(i);
    const ScopeGuard guard(*this, std::make_shared<Scope>(outer));
    scope_->Set(loop_symbol, loop_value);
    Assign(node.target, (*items)[i]);
    const Flow flow = Execute(node.body);
    completed = completed || flow == Flow::kNext;
    if (flow == Flow::kBreak) {
      break;
    }
  }
  if (!completed) {
    const ScopeGuard guard(*this, std::make_shared<Scope>(outer));
    Execute(node.otherwise);
  }
}

Value Evaluator::MakeMacro(const MacroDefinition& definition) {
  if (!scope_->captured()) {
    scope_->set_captured();
    runtime_.ChargeBytes(sizeof(Scope));
    runtime_.BreakCyclesOf(scope_);
  }
  return Value::Of(std::shared_ptr<Object>(std::make_shared<MacroObject>(*this, definition, scope_)));
}

Evaluator::Flow Evaluator::Exec(const Macro& node) {
  scope_->Set(node.symbol, MakeMacro(*node.definition));
  return Flow::kNext;
}

Evaluator::Flow Evaluator::Exec(const CallBlock& node) {
  const auto& call = std::get<Call>(node.call->node);
  const Value callee = Evaluate(*call.callee);
  Arguments arguments = EvaluateArguments(call.arguments);
  arguments.keyword.emplace_back("caller", MakeMacro(*node.definition));
  Write(Str(CallValue(callee, arguments)));
  return Flow::kNext;
}

Value Evaluator::CallMacro(const MacroDefinition& definition, const std::shared_ptr<Scope>& scope,
                           const Arguments& arguments) {
  const Runtime::Nested nested(runtime_);
  const int line = line_;
  const ScopeGuard guard(*this, std::make_shared<Scope>(scope));
  BindParameters(definition, arguments);
  Text text;
  Text* const saved = std::exchange(out_, &text);
  const absl::Cleanup restore = [&] { out_ = saved; };
  Execute(definition.body);
  line_ = line;
  runtime_.ChargeBytes(text.size());
  return Value::String(std::move(text));
}

void Evaluator::BindParameters(const MacroDefinition& definition, const Arguments& arguments) {
  const auto& parameters = definition.parameters;
  std::vector<bool> taken(arguments.keyword.size(), false);
  const auto take_keyword = [&](absl::string_view name) -> const Value* {
    for (size_t i = 0; i < taken.size(); ++i) {
      if (!taken[i] && arguments.keyword[i].first == name) {
        taken[i] = true;
        return &arguments.keyword[i].second;
      }
    }
    return nullptr;
  };
  std::vector<const Value*> given;
  for (size_t i = 0; i < parameters.size(); ++i) {
    given.push_back(i < arguments.positional.size() ? &arguments.positional[i] : take_keyword(parameters[i].name));
  }
  if (definition.uses_caller && !HasParameter(definition, "caller")) {
    const Value* const caller = take_keyword("caller");
    scope_->Set(FindSymbol(ast_, "caller"), caller == nullptr ? Value::Undefined("No caller defined") : *caller);
  }
  BindSurplus(definition, arguments, taken);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    if (given[i] != nullptr) {
      scope_->Set(parameter.symbol, *given[i]);
    } else {
      const std::string reason = absl::StrCat("parameter '", parameter.name, "' was not provided");
      scope_->Set(parameter.symbol, EvaluateOr(parameter.fallback, Value::Undefined(reason)));
    }
  }
}

void Evaluator::BindSurplus(const MacroDefinition& definition, const Arguments& arguments,
                            const std::vector<bool>& taken) {
  Dict rest;
  for (size_t i = 0; i < taken.size(); ++i) {
    if (!taken[i]) {
      rest.Set(Value::String(arguments.keyword[i].first), arguments.keyword[i].second);
    }
  }
  if (definition.uses_kwargs && !HasParameter(definition, "kwargs")) {
    scope_->Set(FindSymbol(ast_, "kwargs"), Value::Of(std::move(rest)));
  } else if (rest.size() > 0) {
    Fail("macro '", definition.name, "' takes no keyword argument '", rest.entries().front().first.view(), "'");
  }
  const size_t count = definition.parameters.size();
  const size_t used = std::min(count, arguments.positional.size());
  if (definition.uses_varargs && !HasParameter(definition, "varargs")) {
    const auto first = arguments.positional.begin() + static_cast<ptrdiff_t>(used);
    scope_->Set(FindSymbol(ast_, "varargs"), Value::Tuple(std::vector<Value>(first, arguments.positional.end())));
  } else if (arguments.positional.size() > count) {
    Fail("macro '", definition.name, "' takes not more than ", count, " argument(s)");
  }
}

}  // namespace tandem::jinja
