// The parsed template. Immutable once parsed, so that any number of threads may evaluate it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "model/jinja/arguments.h"
#include "model/jinja/operations.h"
#include "model/jinja/value.h"

namespace tandem::jinja {

// Variable names are numbered by the parser; Ast::symbols translates back.
using Symbol = uint32_t;

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> keyword;
  ExpressionPtr more_positional;  // *args
  ExpressionPtr more_keyword;     // **kwargs
};

struct Constant {
  Value value;
};
struct Name {
  Symbol symbol;
};
struct SequenceDisplay {  // [a, b] or (a, b)
  SequenceKind kind;
  std::vector<ExpressionPtr> items;
};
struct DictDisplay {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};
struct Not {
  ExpressionPtr operand;
};
struct Sign {
  bool negative;
  ExpressionPtr operand;
};
struct Binary {
  BinaryOperator op;
  ExpressionPtr left;
  ExpressionPtr right;
};
struct Logical {  // a and b and …, a or b or …
  bool is_or;
  std::vector<ExpressionPtr> operands;
};
struct Comparison {  // a < b <= c …
  ExpressionPtr first;
  std::vector<std::pair<CompareOperator, ExpressionPtr>> rest;
};
struct Concatenation {  // a ~ b ~ …
  std::vector<ExpressionPtr> operands;
};
struct Conditional {
  ExpressionPtr condition;
  ExpressionPtr then;
  ExpressionPtr otherwise;  // may be null: undefined
};
struct AttributeAccess {
  ExpressionPtr object;
  std::string name;
};
struct ItemAccess {
  ExpressionPtr object;
  ExpressionPtr key;
};
struct SliceAccess {  // null bounds are absent
  ExpressionPtr object;
  ExpressionPtr start;
  ExpressionPtr stop;
  ExpressionPtr step;
};
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
struct Filter {
  ExpressionPtr operand;  // null: the body of the filter block or set block it belongs to
  std::string name;
  const Builtin* builtin;  // null: unknown; an error if it is ever evaluated
  CallArguments arguments;
};
struct Test {
  ExpressionPtr operand;
  std::string name;
  const Builtin* builtin;  // as in Filter
  CallArguments arguments;
};

struct Expression {
  using Node = std::variant<Constant, Name, SequenceDisplay, DictDisplay, Not, Sign, Binary, Logical, Comparison,
                            Concatenation, Conditional, AttributeAccess, ItemAccess, SliceAccess, Call, Filter, Test>;
  int line;
  int depth;  // of the tree below, 1 for a leaf
  Node node;
};

inline constexpr int kMaxExpressionDepth = 150;
// Fails with RESOURCE_EXHAUSTED beyond kMaxExpressionDepth.
ExpressionPtr MakeExpression(int line, Expression::Node node);

struct Statement;
using Body = std::vector<Statement>;

// What an assignment writes to: a variable, an attribute of a namespace, or several of them.
struct Target {
  int line = 0;
  Symbol symbol = 0;
  std::string attribute;      // of the namespace `symbol`; empty: the variable itself
  std::vector<Target> parts;  // not empty or `is_tuple`: unpacks
  bool is_tuple = false;
};

struct Parameter {
  Symbol symbol;
  std::string name;
  ExpressionPtr fallback;  // may be null
};

// The parameters and body of a macro or call block. The flags say that the body mentions these special names.
struct MacroDefinition {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  bool uses_caller = false;
  bool uses_kwargs = false;
  bool uses_varargs = false;
};

struct Data {
  std::string text;
};
struct Print {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr condition;  // may be null
  Body body;
  Body otherwise;
  bool recursive = false;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  ExpressionPtr filter;  // may be null
  Body body;
};
struct Macro {
  Symbol symbol;
  std::unique_ptr<const MacroDefinition> definition;
};
struct CallBlock {
  std::unique_ptr<const MacroDefinition> definition;  // the caller()
  ExpressionPtr call;
};
struct FilterBlock {
  ExpressionPtr filter;
  Body body;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  using Node = std::variant<Data, Print, If, For, Set, SetBlock, Macro, CallBlock, FilterBlock, With, Break, Continue>;
  int line;
  Node node;
};

struct Ast {
  Body body;
  std::vector<std::string> symbols;
};

}  // namespace tandem::jinja
