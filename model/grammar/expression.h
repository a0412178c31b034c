// What a text may look like, as a value: literals, sequences, alternatives, repetitions, automata and calls of rules.
// Expressions are put together by callers and compiled by GrammarBuilder.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/grammar/automaton.h"

namespace tandem::grammar {

constexpr uint32_t kUnbounded = std::numeric_limits<uint32_t>::max();

// Immutable and cheap to copy. Thread-safe.
class Expression {
 public:
  enum class Kind : uint8_t {
    kNothing,
    kBytes,
    kLiteral,
    kSequence,
    kOneOf,
    kRepeat,
    kAutomaton,
    kCall,
    kGraph,
    kAtBegin,
    kAtEnd
  };

  // An edge of a graph: from one node to another by a text that `index` of the children describes.
  struct GraphEdge {
    uint32_t from = 0;
    uint32_t to = 0;
    uint32_t child = 0;
  };

  struct Node {
    Kind kind = Kind::kNothing;
    uint8_t first = 0;  // kBytes
    uint8_t last = 0;
    std::string text;                  // kLiteral
    std::vector<Expression> children;  // kSequence, kOneOf, kRepeat, kGraph
    uint32_t min = 0;                  // kRepeat
    uint32_t max = 0;                  //
    Automaton automaton;               // kAutomaton
    RuleId rule = 0;                   // kCall
    uint32_t node_count = 0;           // kGraph: from node 0 to the last one
    std::vector<GraphEdge> edges;      //
  };

  // No text at all, not even the empty one.
  static Expression Nothing();
  static Expression Empty() { return Literal(""); }
  static Expression Bytes(uint8_t first, uint8_t last);
  static Expression Literal(absl::string_view text);
  static Expression Sequence(std::vector<Expression> parts);
  static Expression OneOf(std::vector<Expression> alternatives);
  static Expression Repeat(Expression part, uint32_t min, uint32_t max = kUnbounded);
  static Expression Optional(Expression part) { return Repeat(std::move(part), 0, 1); }
  // `automaton` has no calls.
  static Expression Matching(Automaton automaton);
  static Expression Call(RuleId rule);
  // The empty text at the beginning and at the end: "^" and "$" of regular expressions. Only within those.
  static Expression AtBegin();
  static Expression AtEnd();

  const Node& node() const { return *node_; }
  bool is_nothing() const { return node_->kind == Kind::kNothing; }

 private:
  friend class GraphExpression;
  explicit Expression(Node node) : node_(std::make_shared<const Node>(std::move(node))) {}

  std::shared_ptr<const Node> node_;
};

// Puts together an expression of the kind "any way through a graph", whose edges are labelled with expressions. Shares
// what a tree of alternatives would have to repeat.
class GraphExpression {
 public:
  // Node 0, the first one made, is where ways start.
  uint32_t AddNode() { return node_.node_count++; }
  void AddEdge(uint32_t from, uint32_t to, Expression label);
  // The last node made is where ways end.
  Expression Build() && { return Expression(std::move(node_)); }

 private:
  Expression::Node node_ = {.kind = Expression::Kind::kGraph};
};

// Adds states and edges for `expression` between two new states, the NFA's start and accept. Errors: TooComplex.
absl::StatusOr<Nfa> ToNfa(const Expression& expression, const std::vector<bool>& rule_is_nullable, Budget& budget);

// Whether the empty text is described, given which rules describe it.
bool IsNullable(const Expression& expression, const std::vector<bool>& rule_is_nullable);

// Compiles an expression without calls.
absl::StatusOr<Automaton> ToAutomaton(const Expression& expression, Budget& budget);

}  // namespace tandem::grammar
