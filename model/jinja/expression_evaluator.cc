// Expressions, see evaluator.h.
#include <algorithm>

#include "model/jinja/error.h"
#include "model/jinja/evaluator.h"
#include "model/jinja/operations.h"
#include "model/jinja/representation.h"

namespace tandem::jinja {

Value Evaluator::Evaluate(const Expression& expression) {
  const Runtime::Nested nested(runtime_);
  runtime_.ChargeStep();
  line_ = expression.line;
  return std::visit([this](const auto& node) { return Eval(node); }, expression.node);
}

Value Evaluator::EvaluateOr(const ExpressionPtr& expression, Value fallback) {
  return expression == nullptr ? std::move(fallback) : Evaluate(*expression);
}

Value Evaluator::Lookup(Symbol symbol) const {
  if (const Value* local = scope_->Find(symbol); local != nullptr) {
    return *local;
  }
  if (const Value* global = globals_[symbol]; global != nullptr) {
    return *global;
  }
  return Value::Undefined(absl::StrCat("'", ast_.symbols[symbol], "' is undefined"));
}

Value Evaluator::Eval(const Constant& node) { return node.value; }

Value Evaluator::Eval(const Name& node) { return Lookup(node.symbol); }

Value Evaluator::Eval(const SequenceDisplay& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExpressionPtr& item : node.items) {
    items.push_back(Evaluate(*item));
  }
  runtime_.ChargeBytes(items.size() * sizeof(Value));
  return Value::Of(node.kind, std::move(items));
}

Value Evaluator::Eval(const DictDisplay& node) {
  Dict dict;
  for (const auto& [key, value] : node.entries) {
    Value evaluated_key = Evaluate(*key);
    dict.Set(std::move(evaluated_key), Evaluate(*value));
  }
  runtime_.ChargeBytes(dict.size() * sizeof(Dict::Entry));
  return Value::Of(std::move(dict));
}

Value Evaluator::Eval(const Not& node) { return Value::Bool(!Truthy(Evaluate(*node.operand))); }

Value Evaluator::Eval(const Sign& node) {
  const Value operand = Evaluate(*node.operand);
  return node.negative ? Negate(operand) : Plus(operand);
}

Value Evaluator::Eval(const Binary& node) {
  const Value left = Evaluate(*node.left);
  return Apply(runtime_, node.op, left, Evaluate(*node.right));
}

Value Evaluator::Eval(const Logical& node) {
  Value value;
  for (const ExpressionPtr& operand : node.operands) {
    value = Evaluate(*operand);
    if (Truthy(value) == node.is_or) {
      break;
    }
  }
  return value;
}

Value Evaluator::Eval(const Comparison& node) {
  Value left = Evaluate(*node.first);
  for (const auto& [op, operand] : node.rest) {
    Value right = Evaluate(*operand);
    if (!Compare(runtime_, op, left, right)) {
      return Value::Bool(false);
    }
    left = std::move(right);
  }
  return Value::Bool(true);
}

Value Evaluator::Eval(const Concatenation& node) {
  Text text;
  for (const ExpressionPtr& operand : node.operands) {
    const Value value = Evaluate(*operand);
    runtime_.ChargeBytes(value.extent().weight);
    text.Append(Str(value));
  }
  return Value::String(std::move(text));
}

Value Evaluator::Eval(const Conditional& node) {
  if (Truthy(Evaluate(*node.condition))) {
    return Evaluate(*node.then);
  }
  return EvaluateOr(node.otherwise,
                    Value::Undefined("the inline if-expression evaluated to false and no else section was defined"));
}

Value Evaluator::Eval(const AttributeAccess& node) { return GetAttribute(Evaluate(*node.object), node.name); }

Value Evaluator::Eval(const ItemAccess& node) {
  const Value object = Evaluate(*node.object);
  return GetItem(object, Evaluate(*node.key));
}

Value Evaluator::Eval(const SliceAccess& node) {
  const Value object = Evaluate(*node.object);
  const Value start = EvaluateOr(node.start, Value::None());
  const Value stop = EvaluateOr(node.stop, Value::None());
  return GetSlice(runtime_, object, start, stop, EvaluateOr(node.step, Value::None()));
}

Arguments Evaluator::EvaluateArguments(const CallArguments& arguments) {
  Arguments out;
  for (const ExpressionPtr& argument : arguments.positional) {
    out.positional.push_back(Evaluate(*argument));
  }
  for (const auto& [name, argument] : arguments.keyword) {
    const bool repeated =
        std::any_of(out.keyword.begin(), out.keyword.end(), [&](const auto& other) { return other.first == name; });
    if (repeated) {
      Fail("keyword argument repeated: ", name);
    }
    out.keyword.emplace_back(name, Evaluate(*argument));
  }
  if (arguments.more_positional != nullptr) {
    const Items more = Iterate(runtime_, Evaluate(*arguments.more_positional));
    runtime_.ChargeBytes(more->size() * sizeof(Value));
    out.positional.insert(out.positional.end(), more->begin(), more->end());
  }
  if (arguments.more_keyword != nullptr) {
    const Value more = Evaluate(*arguments.more_keyword);
    if (!more.IsDict()) {
      Fail("argument after ** must be a mapping, not ", TypeName(more));
    }
    for (const auto& [key, value] : more.dict().entries()) {
      if (!key.IsString()) {
        Fail("keywords must be strings");
      }
      out.keyword.emplace_back(key.text().bytes(), value);
    }
  }
  return out;
}

Value Evaluator::CallValue(const Value& callee, const Arguments& arguments) {
  RequireDefined(callee);
  if (!callee.IsObject()) {
    Fail("'", TypeName(callee), "' object is not callable");
  }
  return callee.object()->Call(runtime_, arguments);
}

Value Evaluator::Eval(const Call& node) {
  const Value callee = Evaluate(*node.callee);
  return CallValue(callee, EvaluateArguments(node.arguments));
}

Value Evaluator::Eval(const Filter& node) {
  if (node.builtin == nullptr) {
    Fail("No filter named '", node.name, "' found.");
  }
  const Value operand = node.operand == nullptr ? *block_text_ : Evaluate(*node.operand);
  return CallBuiltin(runtime_, *node.builtin, operand, EvaluateArguments(node.arguments));
}

Value Evaluator::Eval(const Test& node) {
  if (node.builtin == nullptr) {
    Fail("No test named '", node.name, "' found.");
  }
  const Value operand = Evaluate(*node.operand);
  return CallBuiltin(runtime_, *node.builtin, operand, EvaluateArguments(node.arguments));
}

}  // namespace tandem::jinja
