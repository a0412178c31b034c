// A grammar ready to be matched: rules as deterministic automata over bytes whose states may call other rules. Together
// they are a pushdown automaton; matcher.h walks through it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/grammar/automaton.h"
#include "model/grammar/expression.h"

namespace tandem::grammar {

// Immutable, thread-safe. Only states from which the grammar can be completed are kept, so whatever has been matched
// can be extended to a text of the grammar.
class Grammar {
 public:
  static constexpr StateId kDead = ~StateId{0};
  static constexpr uint32_t kNever = ~uint32_t{0};
  // Plain-text runs are followed up to this length; longer ones count as endless only if they are.
  static constexpr uint8_t kMaxPlainRun = 16;
  static constexpr uint8_t kEndlessPlainRun = 255;

  struct Rule {
    StateId start = kDead;
    // For a counted rule: how many texts of its automaton follow each other. Its accepting states have no way on.
    bool counted = false;
    uint32_t min = 0;
    uint32_t max = 0;  // kUnbounded
    // Rules that may be called before anything of this one was read have higher ranks.
    uint32_t rank = 0;
    // Bytes of a text of the rule at least; at least 1, since callers pass over a rule that may be empty.
    uint32_t min_bytes = kNever;
    uint32_t item_bytes = kNever;  // of a counted rule: one text
    bool is_nullable = false;
    std::array<uint8_t, 256> column = {};  // of a byte, in the rule's part of the table
  };

  enum Flag : uint8_t { kHasEdges = 1, kHasCalls = 2, kAccepts = 4, kCounted = 8, kTail = 16 };

  struct State {
    uint32_t rule = 0;
    uint32_t row = 0;  // in the table
    uint32_t calls_begin = 0;
    uint32_t calls_end = 0;
    uint32_t min_bytes = kNever;  // to the rule's end, in a counted rule to the end of one text
    uint8_t flags = 0;            // kTail: accepts and has no way on
    // So many characters of plain text (plain_text.h) may follow in any case; in a counted rule's start state 1 means
    // that each of its texts may be any plain character.
    uint8_t plain_run = 0;
  };

  const Rule& rule(RuleId id) const { return rules_[id]; }
  const State& state(StateId id) const { return states_[id]; }
  RuleId root() const { return root_; }
  const Automaton::Call* calls() const { return calls_.data(); }
  size_t state_count() const { return states_.size(); }
  size_t rule_count() const { return rules_.size(); }
  // Differs between any two grammars of the process.
  uint64_t id() const { return id_; }

  StateId Next(StateId from, uint8_t byte) const {
    const State& state = states_[from];
    return table_[state.row + rules_[state.rule].column[byte]];
  }

 private:
  friend class GrammarBuilder;
  friend class GrammarTables;
  Grammar();

  const uint64_t id_;
  RuleId root_ = 0;
  std::vector<Rule> rules_;
  std::vector<State> states_;
  std::vector<StateId> table_;
  std::vector<Automaton::Call> calls_;
};

// Collects rules and compiles them. Not thread-safe; expressions that call rules belong to the builder of these.
class GrammarBuilder {
 public:
  // A rule without a text yet. The name is for error messages.
  RuleId AddRule(std::string name);
  void Define(RuleId rule, Expression expression);
  Expression Rule(std::string name, Expression expression);

  // `item` repeated, counted while matching: bounds cost nothing. No text of `item` may be the beginning of another
  // one; calls do not count there.
  Expression Counted(std::string name, Expression item, uint32_t min, uint32_t max);

  Budget& budget() { return budget_; }

  // The grammar of `root`. Errors: INVALID_ARGUMENT when it is too complex, describes nothing, or has a rule that
  // begins with itself.
  absl::StatusOr<std::shared_ptr<const Grammar>> Build(const Expression& root) &&;

 private:
  struct Definition {
    std::string name;
    Expression expression = Expression::Nothing();
    bool counted = false;
    uint32_t min = 0;
    uint32_t max = 0;
  };

  std::vector<bool> FindNullable() const;

  std::vector<Definition> rules_;
  Budget budget_;
};

}  // namespace tandem::grammar
