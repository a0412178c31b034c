#include "model/grammar/expression.h"

#include <algorithm>
#include <utility>

namespace tandem::grammar {
namespace {

using Kind = Expression::Kind;

// Thompson's construction. Recursion is as deep as the expression, which its makers bound.
class NfaBuilder {
 public:
  NfaBuilder(const std::vector<bool>& nullable, Budget& budget) : nullable_(nullable), budget_(budget) {}

  absl::StatusOr<Nfa> Run(const Expression& expression) {
    nfa_.start = nfa_.AddState();
    nfa_.accept = nfa_.AddState();
    RETURN_IF_ERROR(Add(expression, nfa_.start, nfa_.accept));
    return std::move(nfa_);
  }

 private:
  absl::Status Add(const Expression& expression, StateId from, StateId to) {
    RETURN_IF_ERROR(budget_.Spend(1));
    if (nfa_.states.size() > Budget::kMaxNfaStates) return TooComplex("an expression");
    const Expression::Node& node = expression.node();
    switch (node.kind) {
      case Kind::kNothing:
        return absl::OkStatus();
      case Kind::kBytes:
        nfa_.states[from].push_back({Nfa::Kind::kBytes, node.first, node.last, 0, to});
        return absl::OkStatus();
      case Kind::kLiteral:
        return AddLiteral(node.text, from, to);
      case Kind::kSequence:
        return AddSequence(node.children, from, to);
      case Kind::kOneOf:
        for (const Expression& child : node.children) {
          RETURN_IF_ERROR(Add(child, from, to));
        }
        return absl::OkStatus();
      case Kind::kRepeat:
        return AddRepeat(node, from, to);
      case Kind::kAutomaton:
        return AddAutomaton(node.automaton, from, to);
      case Kind::kCall:
        nfa_.states[from].push_back({Nfa::Kind::kCall, 0, 0, node.rule, to});
        if (nullable_[node.rule]) nfa_.AddEpsilon(from, to);  // a call itself always takes at least a byte
        return absl::OkStatus();
      case Kind::kGraph:
        return AddGraph(node, from, to);
      case Kind::kAtBegin:
        nfa_.states[from].push_back({Nfa::Kind::kAtBegin, 0, 0, 0, to});
        return absl::OkStatus();
      case Kind::kAtEnd:
        nfa_.states[from].push_back({Nfa::Kind::kAtEnd, 0, 0, 0, to});
        return absl::OkStatus();
    }
    return absl::InternalError("unknown kind of expression");
  }

  absl::Status AddLiteral(const std::string& text, StateId from, StateId to) {
    RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(text.size())));
    for (const char c : text) {
      const StateId next = nfa_.AddState();
      const auto byte = static_cast<uint8_t>(c);
      nfa_.states[from].push_back({Nfa::Kind::kBytes, byte, byte, 0, next});
      from = next;
    }
    nfa_.AddEpsilon(from, to);
    return absl::OkStatus();
  }

  absl::Status AddSequence(const std::vector<Expression>& parts, StateId from, StateId to) {
    for (const Expression& part : parts) {
      const StateId next = nfa_.AddState();
      RETURN_IF_ERROR(Add(part, from, next));
      from = next;
    }
    nfa_.AddEpsilon(from, to);
    return absl::OkStatus();
  }

  absl::Status AddRepeat(const Expression::Node& node, StateId from, StateId to) {
    const Expression& part = node.children[0];
    for (uint32_t i = 0; i < node.min; ++i) {
      const StateId next = nfa_.AddState();
      RETURN_IF_ERROR(Add(part, from, next));
      from = next;
    }
    if (node.max == kUnbounded) {
      const StateId loop = nfa_.AddState();
      nfa_.AddEpsilon(from, loop);
      RETURN_IF_ERROR(Add(part, loop, loop));
      nfa_.AddEpsilon(loop, to);
      return absl::OkStatus();
    }
    nfa_.AddEpsilon(from, to);
    for (uint32_t i = node.min; i < node.max; ++i) {
      const StateId next = nfa_.AddState();
      RETURN_IF_ERROR(Add(part, from, next));
      nfa_.AddEpsilon(next, to);
      from = next;
    }
    return absl::OkStatus();
  }

  absl::Status AddAutomaton(const Automaton& automaton, StateId from, StateId to) {
    const auto offset = static_cast<StateId>(nfa_.states.size());
    RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(automaton.states.size())));
    if (offset + automaton.states.size() > Budget::kMaxNfaStates) return TooComplex("an expression");
    nfa_.states.resize(offset + automaton.states.size());
    nfa_.AddEpsilon(from, offset);
    for (StateId id = 0; id < automaton.states.size(); ++id) {
      for (const Automaton::Edge& edge : automaton.states[id].edges) {
        nfa_.states[offset + id].push_back({Nfa::Kind::kBytes, edge.first, edge.last, 0, offset + edge.target});
      }
      if (automaton.states[id].accepts) nfa_.AddEpsilon(offset + id, to);
    }
    return absl::OkStatus();
  }

  absl::Status AddGraph(const Expression::Node& node, StateId from, StateId to) {
    const auto offset = static_cast<StateId>(nfa_.states.size());
    if (offset + node.node_count > Budget::kMaxNfaStates) return TooComplex("an expression");
    nfa_.states.resize(offset + node.node_count);
    nfa_.AddEpsilon(from, offset);
    for (const Expression::GraphEdge& edge : node.edges) {
      RETURN_IF_ERROR(Add(node.children[edge.child], offset + edge.from, offset + edge.to));
    }
    nfa_.AddEpsilon(offset + node.node_count - 1, to);
    return absl::OkStatus();
  }

  const std::vector<bool>& nullable_;
  Budget& budget_;
  Nfa nfa_;
};

bool IsGraphNullable(const Expression::Node& node, const std::vector<bool>& rule_is_nullable) {
  std::vector<bool> reached(node.node_count);
  reached[0] = true;
  for (bool changed = true; changed;) {
    changed = false;
    for (const Expression::GraphEdge& edge : node.edges) {
      if (reached[edge.from] && !reached[edge.to] && IsNullable(node.children[edge.child], rule_is_nullable)) {
        reached[edge.to] = changed = true;
      }
    }
  }
  return reached.back();
}

}  // namespace

Expression Expression::Nothing() { return Expression({.kind = Kind::kNothing}); }

Expression Expression::Bytes(uint8_t first, uint8_t last) {
  return Expression({.kind = Kind::kBytes, .first = first, .last = last});
}

Expression Expression::Literal(absl::string_view text) {
  return Expression({.kind = Kind::kLiteral, .text = std::string(text)});
}

Expression Expression::Sequence(std::vector<Expression> parts) {
  if (parts.size() == 1) return parts[0];
  for (const Expression& part : parts) {
    if (part.is_nothing()) return Nothing();
  }
  return Expression({.kind = Kind::kSequence, .children = std::move(parts)});
}

Expression Expression::OneOf(std::vector<Expression> alternatives) {
  alternatives.erase(
      std::remove_if(alternatives.begin(), alternatives.end(), [](const Expression& e) { return e.is_nothing(); }),
      alternatives.end());
  if (alternatives.empty()) return Nothing();
  if (alternatives.size() == 1) return alternatives[0];
  return Expression({.kind = Kind::kOneOf, .children = std::move(alternatives)});
}

Expression Expression::Repeat(Expression part, uint32_t min, uint32_t max) {
  if (max == 0 || part.is_nothing()) return min == 0 ? Empty() : Nothing();
  if (min == 1 && max == 1) return part;
  return Expression({.kind = Kind::kRepeat, .children = {std::move(part)}, .min = min, .max = max});
}

Expression Expression::Matching(Automaton automaton) {
  if (automaton.IsEmpty()) return Nothing();
  return Expression({.kind = Kind::kAutomaton, .automaton = std::move(automaton)});
}

Expression Expression::Call(RuleId rule) { return Expression({.kind = Kind::kCall, .rule = rule}); }

Expression Expression::AtBegin() { return Expression({.kind = Kind::kAtBegin}); }

Expression Expression::AtEnd() { return Expression({.kind = Kind::kAtEnd}); }

void GraphExpression::AddEdge(uint32_t from, uint32_t to, Expression label) {
  if (label.is_nothing()) return;
  node_.edges.push_back({from, to, static_cast<uint32_t>(node_.children.size())});
  node_.children.push_back(std::move(label));
}

absl::StatusOr<Nfa> ToNfa(const Expression& expression, const std::vector<bool>& rule_is_nullable, Budget& budget) {
  return NfaBuilder(rule_is_nullable, budget).Run(expression);
}

bool IsNullable(const Expression& expression, const std::vector<bool>& rule_is_nullable) {
  const Expression::Node& node = expression.node();
  const auto is_nullable = [&](const Expression& child) { return IsNullable(child, rule_is_nullable); };
  switch (node.kind) {
    case Kind::kNothing:
    case Kind::kBytes:
      return false;
    case Kind::kLiteral:
      return node.text.empty();
    case Kind::kSequence:
      return std::all_of(node.children.begin(), node.children.end(), is_nullable);
    case Kind::kOneOf:
      return std::any_of(node.children.begin(), node.children.end(), is_nullable);
    case Kind::kRepeat:
      return node.min == 0 || is_nullable(node.children[0]);
    case Kind::kAutomaton:
      return node.automaton.states[0].accepts;
    case Kind::kCall:
      return rule_is_nullable[node.rule];
    case Kind::kGraph:
      return IsGraphNullable(node, rule_is_nullable);
    case Kind::kAtBegin:
    case Kind::kAtEnd:
      return true;
  }
  return false;
}

absl::StatusOr<Automaton> ToAutomaton(const Expression& expression, Budget& budget) {
  ASSIGN_OR_RETURN(const Nfa nfa, ToNfa(expression, {}, budget));
  return Determinize(nfa, budget);
}

}  // namespace tandem::grammar
