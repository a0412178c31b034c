#include "model/jinja/ast.h"

#include <algorithm>

#include "model/jinja/error.h"

namespace tandem::jinja {
namespace {

// The depth of the deepest expression among the arguments.
int Deepest() { return 0; }
template <typename... Rest>
int Deepest(const ExpressionPtr& first, const Rest&... rest);
template <typename First, typename... Rest>
int Deepest(const std::vector<First>& first, const Rest&... rest);
template <typename Key, typename... Rest>
int Deepest(const std::pair<Key, ExpressionPtr>& first, const Rest&... rest);
template <typename... Rest>
int Deepest(const CallArguments& first, const Rest&... rest);

template <typename... Rest>
int Deepest(const ExpressionPtr& first, const Rest&... rest) {
  return std::max(first == nullptr ? 0 : first->depth, Deepest(rest...));
}

template <typename First, typename... Rest>
int Deepest(const std::vector<First>& first, const Rest&... rest) {
  int depth = Deepest(rest...);
  for (const First& item : first) {
    depth = std::max(depth, Deepest(item));
  }
  return depth;
}

template <typename Key, typename... Rest>
int Deepest(const std::pair<Key, ExpressionPtr>& first, const Rest&... rest) {
  if constexpr (std::is_same_v<Key, ExpressionPtr>) {
    return Deepest(first.first, first.second, rest...);
  } else {
    return Deepest(first.second, rest...);
  }
}

template <typename... Rest>
int Deepest(const CallArguments& first, const Rest&... rest) {
  return Deepest(first.positional, first.keyword, first.more_positional, first.more_keyword, rest...);
}

struct ChildDepth {
  int operator()(const Constant&) const { return 0; }
  int operator()(const Name&) const { return 0; }
  int operator()(const SequenceDisplay& node) const { return Deepest(node.items); }
  int operator()(const DictDisplay& node) const { return Deepest(node.entries); }
  int operator()(const Not& node) const { return Deepest(node.operand); }
  int operator()(const Sign& node) const { return Deepest(node.operand); }
  int operator()(const Binary& node) const { return Deepest(node.left, node.right); }
  int operator()(const Logical& node) const { return Deepest(node.operands); }
  int operator()(const Comparison& node) const { return Deepest(node.first, node.rest); }
  int operator()(const Concatenation& node) const { return Deepest(node.operands); }
  int operator()(const Conditional& node) const { return Deepest(node.condition, node.then, node.otherwise); }
  int operator()(const AttributeAccess& node) const { return Deepest(node.object); }
  int operator()(const ItemAccess& node) const { return Deepest(node.object, node.key); }
  int operator()(const SliceAccess& node) const { return Deepest(node.object, node.start, node.stop, node.step); }
  int operator()(const Call& node) const { return Deepest(node.callee, node.arguments); }
  int operator()(const Filter& node) const { return Deepest(node.operand, node.arguments); }
  int operator()(const Test& node) const { return Deepest(node.operand, node.arguments); }
};

}  // namespace

ExpressionPtr MakeExpression(int line, Expression::Node node) {
  const int depth = 1 + std::visit(ChildDepth(), node);
  if (depth > kMaxExpressionDepth) {
    throw TemplateError{absl::StatusCode::kResourceExhausted,
                        absl::StrCat("an expression is nested deeper than ", kMaxExpressionDepth, " levels"), line};
  }
  return std::make_unique<const Expression>(Expression{line, depth, std::move(node)});
}

}  // namespace tandem::jinja
