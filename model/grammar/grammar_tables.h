// From the rules' automata to the tables of a Grammar. Internal to GrammarBuilder.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/grammar/grammar.h"

namespace tandem::grammar {

class GrammarTables {
 public:
  // `grammar` has its rules' counts filled in; `automata` and `names` are theirs.
  GrammarTables(Grammar& grammar, std::vector<Automaton> automata, const std::vector<std::string>& names,
                Budget& budget)
      : grammar_(grammar), automata_(std::move(automata)), names_(names), budget_(budget) {}

  absl::Status Fill();

 private:
  void FindDistances();
  bool UpdateDistances(RuleId rule);
  void DropDeadEnds(RuleId rule);
  absl::Status RankRules();
  absl::Status Flatten();
  void FlattenRule(RuleId rule);
  void FindPlainRuns();

  Grammar& grammar_;
  std::vector<Automaton> automata_;
  const std::vector<std::string>& names_;
  Budget& budget_;
  std::vector<std::vector<uint32_t>> distances_;  // [rule][state]: bytes to the end of the rule
};

}  // namespace tandem::grammar
