#include "model/jinja/evaluator.h"

#include "absl/cleanup/cleanup.h"
#include "model/jinja/error.h"
#include "model/jinja/globals.h"
#include "model/jinja/operations.h"
#include "model/jinja/representation.h"

namespace tandem::jinja {

Evaluator::Evaluator(const Ast& ast, const Variables& variables, const RenderOptions& options)
    : ast_(ast), runtime_(options), scope_(std::make_shared<Scope>(nullptr)) {
  globals_.reserve(ast.symbols.size());
  for (const std::string& name : ast.symbols) {
    const auto found = variables.find(name);
    globals_.push_back(found != variables.end() ? &found->second : FindGlobal(name));
  }
}

Text Evaluator::Run() {
  Text out;
  out_ = &out;
  try {
    Execute(ast_.body);
  } catch (TemplateError& error) {
    error.line = error.line == 0 ? line_ : error.line;
    throw;
  }
  return out;
}

Evaluator::Flow Evaluator::Execute(const Body& body) {
  const Runtime::Nested nested(runtime_);
  for (const Statement& statement : body) {
    runtime_.ChargeStep();
    line_ = statement.line;
    const Flow flow = std::visit([this](const auto& node) { return Exec(node); }, statement.node);
    if (flow != Flow::kNext) {
      return flow;
    }
  }
  return Flow::kNext;
}

void Evaluator::Write(const Text& text) {
  runtime_.CheckOutput(out_->size() + text.size());
  out_->Append(text);
}

Evaluator::Flow Evaluator::Exec(const Data& node) {
  runtime_.CheckOutput(out_->size() + node.text.size());
  out_->Append(node.text);
  return Flow::kNext;
}

Evaluator::Flow Evaluator::Exec(const Print& node) {
  const Value value = Evaluate(*node.value);
  if (value.IsString()) {
    Write(value.text());
  } else {
    runtime_.ChargeBytes(value.extent().weight);
    Write(Str(value));
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::Exec(const If& node) {
  for (const auto& [condition, body] : node.branches) {
    if (Truthy(Evaluate(*condition))) {
      return Execute(body);
    }
  }
  return Execute(node.otherwise);
}

Evaluator::Flow Evaluator::Exec(const Set& node) {
  Assign(node.target, Evaluate(*node.value));
  return Flow::kNext;
}

void Evaluator::Assign(const Target& target, const Value& value) {
  if (target.is_tuple) {
    const Items items = Iterate(runtime_, value);
    if (items->size() != target.parts.size()) {
      Fail(items->size() < target.parts.size() ? "not enough values to unpack (expected "
                                               : "too many values to unpack (expected ",
           target.parts.size(), ", got ", items->size(), ")");
    }
    for (size_t i = 0; i < items->size(); ++i) {
      Assign(target.parts[i], (*items)[i]);
    }
    return;
  }
  if (target.attribute.empty()) {
    scope_->Set(target.symbol, value);
    return;
  }
  Namespace* const space = AsNamespace(Lookup(target.symbol));
  if (space == nullptr) {
    Fail("cannot assign attribute on non-namespace object");
  }
  SetAttribute(space, target.attribute, value);
}

Value Evaluator::Capture(const Body& body, const ExpressionPtr& filter, Flow* flow) {
  const ScopeGuard guard(*this, std::make_shared<Scope>(scope_));
  Text text;
  {
    Text* const saved = std::exchange(out_, &text);
    const absl::Cleanup restore = [&] { out_ = saved; };
    *flow = Execute(body);
  }
  runtime_.ChargeBytes(text.size());
  const Value printed = Value::String(std::move(text));
  if (filter == nullptr) {
    return printed;
  }
  const Value* const saved = std::exchange(block_text_, &printed);
  const absl::Cleanup restore = [&] { block_text_ = saved; };
  return Evaluate(*filter);
}

Evaluator::Flow Evaluator::Exec(const SetBlock& node) {
  Flow flow = Flow::kNext;
  const Value value = Capture(node.body, node.filter, &flow);
  if (flow == Flow::kNext) {
    Assign(node.target, value);
  }
  return flow;
}

Evaluator::Flow Evaluator::Exec(const FilterBlock& node) {
  Flow flow = Flow::kNext;
  const Value value = Capture(node.body, node.filter, &flow);
  if (flow == Flow::kNext) {
    Write(Str(value));
  }
  return flow;
}

Evaluator::Flow Evaluator::Exec(const With& node) {
  auto inner = std::make_shared<Scope>(scope_);
  for (const auto& [target, expression] : node.assignments) {
    const Value value = Evaluate(*expression);
    const ScopeGuard guard(*this, inner);
    Assign(target, value);
  }
  const ScopeGuard guard(*this, std::move(inner));
  return Execute(node.body);
}

}  // namespace tandem::jinja
