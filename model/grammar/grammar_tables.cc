#include "model/grammar/grammar_tables.h"

#include <algorithm>
#include <bitset>
#include <functional>
#include <queue>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "model/grammar/plain_text.h"

namespace tandem::grammar {
namespace {

constexpr uint32_t kNever = Grammar::kNever;

// Sums that stay below kNever.
uint32_t Add(uint32_t a, uint32_t b) {
  if (a == kNever || b == kNever) return kNever;
  return static_cast<uint32_t>(std::min<uint64_t>(uint64_t{a} + b, kNever - 1));
}

uint32_t Times(uint32_t a, uint32_t b) {
  if (a == kNever) return b == 0 ? 0 : kNever;
  return static_cast<uint32_t>(std::min<uint64_t>(uint64_t{a} * b, kNever - 1));
}

// Where the plain characters lead that may come in a state: all of them, or nothing when one is not allowed.
class PlainSteps {
 public:
  explicit PlainSteps(const Grammar& grammar) : grammar_(grammar) {}

  // Null when some plain character cannot follow.
  const std::vector<StateId>* From(StateId state) {
    auto [found, is_new] = steps_.try_emplace(state);
    if (is_new) found->second = Find(state);
    return found->second.empty() ? nullptr : &found->second;
  }

 private:
  std::vector<StateId> Find(StateId state) const {
    std::vector<StateId> all;
    for (const Utf8Sequence& sequence : kPlainCharacters) {
      std::vector<StateId> at = {state};
      for (int i = 0; i < sequence.length; ++i) {
        std::vector<StateId> next;
        for (const StateId from : at) {
          if (!AddTargets(from, sequence.bytes[i][0], sequence.bytes[i][1], next)) return {};
        }
        at = std::move(next);
      }
      all.insert(all.end(), at.begin(), at.end());
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }

  bool AddTargets(StateId from, uint8_t first, uint8_t last, std::vector<StateId>& out) const {
    for (int byte = first; byte <= last; ++byte) {
      const StateId to = grammar_.Next(from, static_cast<uint8_t>(byte));
      if (to == Grammar::kDead) return false;
      if (std::find(out.begin(), out.end(), to) == out.end()) out.push_back(to);
    }
    return true;
  }

  const Grammar& grammar_;
  absl::flat_hash_map<StateId, std::vector<StateId>> steps_;
};

// How many plain characters may follow in any case.
uint8_t PlainRun(PlainSteps& steps, StateId state) {
  constexpr size_t kMaxStates = 64;
  std::vector<StateId> frontier = {state};
  std::vector<StateId> seen = {state};
  for (uint8_t run = 0; run < Grammar::kMaxPlainRun; ++run) {
    std::vector<StateId> next;
    for (const StateId from : frontier) {
      const std::vector<StateId>* targets = steps.From(from);
      if (targets == nullptr) return run;
      for (const StateId target : *targets) {
        if (std::find(seen.begin(), seen.end(), target) != seen.end()) continue;
        seen.push_back(target);
        next.push_back(target);
      }
    }
    if (next.empty()) return Grammar::kEndlessPlainRun;
    if (seen.size() > kMaxStates) return run;
    frontier = std::move(next);
  }
  return Grammar::kMaxPlainRun;
}

}  // namespace

absl::Status GrammarTables::Fill() {
  RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(automata_.size())));
  FindDistances();
  const Grammar::Rule& root = grammar_.rules_[grammar_.root_];
  if (root.min_bytes == kNever && !root.is_nullable) {
    return absl::InvalidArgumentError("no text can satisfy the grammar");
  }
  for (RuleId rule = 0; rule < automata_.size(); ++rule) DropDeadEnds(rule);
  RETURN_IF_ERROR(RankRules());
  RETURN_IF_ERROR(Flatten());
  FindPlainRuns();
  return absl::OkStatus();
}

// The least fixed point over all rules: a rule's distances are computed again whenever a rule that it calls got
// shorter.
void GrammarTables::FindDistances() {
  std::vector<std::vector<RuleId>> callers(automata_.size());
  distances_.resize(automata_.size());
  std::vector<bool> is_pending(automata_.size(), true);
  std::queue<RuleId> pending;
  for (RuleId rule = 0; rule < automata_.size(); ++rule) {
    distances_[rule].assign(automata_[rule].states.size(), kNever);
    pending.push(rule);
    for (const Automaton::State& state : automata_[rule].states) {
      for (const Automaton::Call& call : state.calls) callers[call.rule].push_back(rule);
    }
  }
  while (!pending.empty()) {
    const RuleId rule = pending.front();
    pending.pop();
    is_pending[rule] = false;
    if (!UpdateDistances(rule)) continue;
    for (const RuleId caller : callers[rule]) {
      if (!is_pending[caller]) pending.push(caller);
      is_pending[caller] = true;
    }
  }
}

// Dijkstra's algorithm backwards from the accepting states. Returns whether the rule became shorter.
bool GrammarTables::UpdateDistances(RuleId id) {
  const Automaton& automaton = automata_[id];
  std::vector<std::vector<std::pair<StateId, uint32_t>>> sources(automaton.states.size());
  std::vector<uint32_t>& distance = distances_[id];
  using Item = std::pair<uint32_t, StateId>;
  std::priority_queue<Item, std::vector<Item>, std::greater<Item>> queue;
  std::fill(distance.begin(), distance.end(), kNever);
  for (StateId state = 0; state < automaton.states.size(); ++state) {
    for (const Automaton::Edge& edge : automaton.states[state].edges) sources[edge.target].push_back({state, 1});
    for (const Automaton::Call& call : automaton.states[state].calls) {
      const uint32_t cost = grammar_.rules_[call.rule].min_bytes;
      if (cost != kNever) sources[call.target].push_back({state, cost});
    }
    if (automaton.states[state].accepts) {
      distance[state] = 0;
      queue.push({0, state});
    }
  }
  while (!queue.empty()) {
    const auto [at, state] = queue.top();
    queue.pop();
    if (at > distance[state]) continue;
    for (const auto& [source, cost] : sources[state]) {
      const uint32_t through = Add(at, cost);
      if (through < distance[source]) {
        distance[source] = through;
        queue.push({through, source});
      }
    }
  }
  Grammar::Rule& rule = grammar_.rules_[id];
  // The start may accept by itself, but a call takes a byte at least.
  uint32_t bytes = kNever;
  for (const Automaton::Edge& edge : automaton.states[0].edges) bytes = std::min(bytes, Add(1, distance[edge.target]));
  for (const Automaton::Call& call : automaton.states[0].calls) {
    bytes = std::min(bytes, Add(grammar_.rules_[call.rule].min_bytes, distance[call.target]));
  }
  if (rule.counted) {
    rule.item_bytes = bytes;
    bytes = bytes == kNever ? kNever : Times(bytes, std::max<uint32_t>(rule.min, 1));
  }
  const bool is_shorter = bytes < rule.min_bytes;
  rule.min_bytes = bytes;
  return is_shorter;
}

void GrammarTables::DropDeadEnds(RuleId rule) {
  const std::vector<uint32_t>& distance = distances_[rule];
  for (Automaton::State& state : automata_[rule].states) {
    state.edges.erase(std::remove_if(state.edges.begin(), state.edges.end(),
                                     [&](const Automaton::Edge& edge) { return distance[edge.target] == kNever; }),
                      state.edges.end());
    state.calls.erase(std::remove_if(state.calls.begin(), state.calls.end(),
                                     [&](const Automaton::Call& call) {
                                       return distance[call.target] == kNever ||
                                              grammar_.rules_[call.rule].min_bytes == kNever;
                                     }),
                      state.calls.end());
  }
}

// A topological order of "may begin with"; a cycle would be a rule that begins with itself.
absl::Status GrammarTables::RankRules() {
  std::vector<uint32_t> incoming(automata_.size(), 0);
  for (const Automaton& automaton : automata_) {
    for (const Automaton::Call& call : automaton.states[0].calls) ++incoming[call.rule];
  }
  std::vector<RuleId> order;
  for (RuleId rule = 0; rule < automata_.size(); ++rule) {
    if (incoming[rule] == 0) order.push_back(rule);
  }
  for (size_t i = 0; i < order.size(); ++i) {
    grammar_.rules_[order[i]].rank = static_cast<uint32_t>(i);
    for (const Automaton::Call& call : automata_[order[i]].states[0].calls) {
      if (--incoming[call.rule] == 0) order.push_back(call.rule);
    }
  }
  for (RuleId rule = 0; rule < automata_.size(); ++rule) {
    if (incoming[rule] > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("rule ", names_[rule], " may begin with itself: left recursion is not supported"));
    }
  }
  return absl::OkStatus();
}

absl::Status GrammarTables::Flatten() {
  size_t total = 0;
  for (const Automaton& automaton : automata_) total += automaton.states.size();
  if (total > Budget::kMaxTotalStates) return TooComplex("the grammar");
  constexpr size_t kMaxTableEntries = size_t{8} << 20;
  for (RuleId rule = 0; rule < automata_.size(); ++rule) {
    FlattenRule(rule);
    if (grammar_.table_.size() > kMaxTableEntries) return TooComplex("the grammar");
  }
  return absl::OkStatus();
}

void GrammarTables::FlattenRule(RuleId id) {
  const Automaton& automaton = automata_[id];
  Grammar::Rule& rule = grammar_.rules_[id];
  std::bitset<257> borders;
  for (const Automaton::State& state : automaton.states) {
    for (const Automaton::Edge& edge : state.edges) {
      borders.set(edge.first);
      borders.set(edge.last + 1);
    }
  }
  uint32_t columns = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (byte > 0 && borders[byte]) ++columns;
    rule.column[byte] = static_cast<uint8_t>(columns);
  }
  ++columns;
  const auto offset = static_cast<StateId>(grammar_.states_.size());
  rule.start = offset;
  for (StateId i = 0; i < automaton.states.size(); ++i) {
    const Automaton::State& from = automaton.states[i];
    Grammar::State state;
    state.rule = id;
    state.row = static_cast<uint32_t>(grammar_.table_.size());
    grammar_.table_.resize(grammar_.table_.size() + columns, Grammar::kDead);
    for (const Automaton::Edge& edge : from.edges) {
      for (int byte = edge.first; byte <= edge.last; ++byte) {
        grammar_.table_[state.row + rule.column[byte]] = offset + edge.target;
      }
    }
    state.calls_begin = static_cast<uint32_t>(grammar_.calls_.size());
    for (const Automaton::Call& call : from.calls) grammar_.calls_.push_back({call.rule, offset + call.target});
    state.calls_end = static_cast<uint32_t>(grammar_.calls_.size());
    state.min_bytes = distances_[id][i];
    if (!from.edges.empty()) state.flags |= Grammar::kHasEdges;
    if (!from.calls.empty()) state.flags |= Grammar::kHasCalls;
    if (from.accepts) state.flags |= Grammar::kAccepts;
    if (rule.counted && from.accepts) state.flags |= Grammar::kCounted;
    if (from.accepts && from.edges.empty() && from.calls.empty() && !rule.counted) state.flags |= Grammar::kTail;
    grammar_.states_.push_back(state);
  }
}

void GrammarTables::FindPlainRuns() {
  PlainSteps steps(grammar_);
  for (StateId id = 0; id < grammar_.states_.size(); ++id) {
    Grammar::State& state = grammar_.states_[id];
    const Grammar::Rule& rule = grammar_.rules_[state.rule];
    if (!rule.counted) {
      state.plain_run = PlainRun(steps, id);
    } else if (id == rule.start) {
      const std::vector<StateId>* ends = steps.From(id);
      const bool is_plain = ends != nullptr && std::all_of(ends->begin(), ends->end(), [&](StateId end) {
                              return (grammar_.states_[end].flags & Grammar::kAccepts) != 0;
                            });
      state.plain_run = is_plain ? 1 : 0;
    }
  }
}

}  // namespace tandem::grammar
