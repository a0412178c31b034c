#include "model/grammar/grammar.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/grammar/grammar_tables.h"

namespace tandem::grammar {
namespace {

uint64_t NextId() {
  static std::atomic<uint64_t> next = 1;
  return next.fetch_add(1, std::memory_order_relaxed);
}

// A counted rule ends where its count says so: its automaton must know by itself where a text ends.
bool EndsByItself(const Automaton& automaton) {
  for (const Automaton::State& state : automaton.states) {
    if (state.accepts && !(state.edges.empty() && state.calls.empty())) return false;
  }
  return true;
}

}  // namespace

Grammar::Grammar() : id_(NextId()) {}

RuleId GrammarBuilder::AddRule(std::string name) {
  rules_.push_back({.name = std::move(name)});
  return static_cast<RuleId>(rules_.size() - 1);
}

void GrammarBuilder::Define(RuleId rule, Expression expression) { rules_[rule].expression = std::move(expression); }

Expression GrammarBuilder::Rule(std::string name, Expression expression) {
  const RuleId rule = AddRule(std::move(name));
  Define(rule, std::move(expression));
  return Expression::Call(rule);
}

Expression GrammarBuilder::Counted(std::string name, Expression item, uint32_t min, uint32_t max) {
  if (max == 0) return Expression::Empty();
  if (item.is_nothing()) return min == 0 ? Expression::Empty() : Expression::Nothing();
  const RuleId rule = AddRule(std::move(name));
  Define(rule, std::move(item));
  rules_[rule].counted = true;
  rules_[rule].min = min;
  rules_[rule].max = max;
  return Expression::Call(rule);
}

std::vector<bool> GrammarBuilder::FindNullable() const {
  std::vector<bool> nullable(rules_.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (RuleId rule = 0; rule < rules_.size(); ++rule) {
      if (nullable[rule]) continue;
      const bool is_empty_count = rules_[rule].counted && rules_[rule].min == 0;
      if (is_empty_count || IsNullable(rules_[rule].expression, nullable)) nullable[rule] = changed = true;
    }
  }
  return nullable;
}

absl::StatusOr<std::shared_ptr<const Grammar>> GrammarBuilder::Build(const Expression& root) && {
  const RuleId root_rule = AddRule("root");
  Define(root_rule, root);
  const std::vector<bool> nullable = FindNullable();
  std::shared_ptr<Grammar> grammar(new Grammar());
  grammar->root_ = root_rule;
  grammar->rules_.resize(rules_.size());
  std::vector<Automaton> automata;
  std::vector<std::string> names;
  for (RuleId id = 0; id < rules_.size(); ++id) {
    Definition& definition = rules_[id];
    ASSIGN_OR_RETURN(const Nfa nfa, ToNfa(definition.expression, nullable, budget_));
    ASSIGN_OR_RETURN(Automaton automaton, Determinize(nfa, budget_));
    if (definition.counted && (automaton.states[0].accepts || !EndsByItself(automaton))) {
      return absl::InternalError(absl::StrCat("counted rule ", definition.name, ": a text continues another one"));
    }
    Grammar::Rule& rule = grammar->rules_[id];
    rule.counted = definition.counted;
    rule.min = definition.min;
    rule.max = definition.max;
    rule.is_nullable = nullable[id];
    automata.push_back(std::move(automaton));
    names.push_back(definition.name);
  }
  RETURN_IF_ERROR(GrammarTables(*grammar, std::move(automata), names, budget_).Fill());
  return grammar;
}

}  // namespace tandem::grammar
