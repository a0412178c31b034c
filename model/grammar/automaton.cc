#include "model/grammar/automaton.h"

#include <algorithm>
#include <bitset>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace tandem::grammar {
namespace {

using StateSet = std::vector<StateId>;  // ascending

constexpr StateId kDead = ~StateId{0};

// Appends an edge, joined to the last one where that is the same.
void AppendEdge(std::vector<Automaton::Edge>& edges, Automaton::Edge edge) {
  if (!edges.empty() && edges.back().target == edge.target && edges.back().last + 1 == edge.first) {
    edges.back().last = edge.last;
  } else {
    edges.push_back(edge);
  }
}

// The subset construction.
class Determinizer {
 public:
  Determinizer(const Nfa& nfa, Budget& budget) : nfa_(nfa), budget_(budget), marked_(nfa.states.size()) {}

  absl::StatusOr<Automaton> Run() {
    RETURN_IF_ERROR(IdOf(Closure({nfa_.start}, /*at_begin=*/true, /*at_end=*/false)).status());
    for (StateId id = 0; id < sets_.size(); ++id) {
      const StateSet set = sets_[id];
      // At the end of a text, "$" may be passed; in the empty text, "^" as well.
      const StateSet at_end = Closure(set, /*at_begin=*/id == 0, /*at_end=*/true);
      result_.states[id].accepts = std::binary_search(at_end.begin(), at_end.end(), nfa_.accept);
      RETURN_IF_ERROR(AddByteEdges(id, set));
      RETURN_IF_ERROR(AddCalls(id, set));
    }
    return std::move(result_);
  }

 private:
  // All states reachable without a byte or a call; ascending.
  StateSet Closure(StateSet set, bool at_begin, bool at_end) {
    for (const StateId state : set) marked_[state] = true;
    for (size_t i = 0; i < set.size(); ++i) {
      for (const Nfa::Edge& edge : nfa_.states[set[i]]) {
        const bool free = edge.kind == Nfa::Kind::kEpsilon || (edge.kind == Nfa::Kind::kAtBegin && at_begin) ||
                          (edge.kind == Nfa::Kind::kAtEnd && at_end);
        if (free && !marked_[edge.target]) {
          marked_[edge.target] = true;
          set.push_back(edge.target);
        }
      }
    }
    for (const StateId state : set) marked_[state] = false;
    std::sort(set.begin(), set.end());
    return set;
  }

  // Takes a closed set. The start set is only itself at the beginning of the text, so it is never found again when it
  // contains a way that is open at the beginning alone.
  absl::StatusOr<StateId> IdOf(StateSet set) {
    RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(set.size()) + 1));
    const auto [found, is_new] = ids_.try_emplace(std::move(set), static_cast<StateId>(sets_.size()));
    if (is_new) {
      if (sets_.size() >= Budget::kMaxStates) return TooComplex("an automaton");
      sets_.push_back(found->first);
      result_.states.resize(sets_.size());
    }
    return found->second;
  }

  absl::Status AddByteEdges(StateId id, const StateSet& set) {
    std::vector<Nfa::Edge> edges;
    std::bitset<257> borders;
    for (const StateId state : set) {
      for (const Nfa::Edge& edge : nfa_.states[state]) {
        if (edge.kind != Nfa::Kind::kBytes) continue;
        edges.push_back(edge);
        borders.set(edge.first);
        borders.set(edge.last + 1);
      }
    }
    for (int first = 0; first < 256;) {
      int end = first + 1;
      while (end < 256 && !borders[end]) ++end;
      StateSet targets;
      for (const Nfa::Edge& edge : edges) {
        if (edge.first <= first && first <= edge.last) targets.push_back(edge.target);
      }
      RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(edges.size())));
      if (!targets.empty()) {
        ASSIGN_OR_RETURN(const StateId target, TargetOf(std::move(targets)));
        AppendEdge(result_.states[id].edges, {static_cast<uint8_t>(first), static_cast<uint8_t>(end - 1), target});
      }
      first = end;
    }
    return absl::OkStatus();
  }

  absl::Status AddCalls(StateId id, const StateSet& set) {
    std::map<RuleId, StateSet> targets;
    for (const StateId state : set) {
      for (const Nfa::Edge& edge : nfa_.states[state]) {
        if (edge.kind == Nfa::Kind::kCall) targets[edge.rule].push_back(edge.target);
      }
    }
    for (auto& [rule, set_of_targets] : targets) {
      ASSIGN_OR_RETURN(const StateId target, TargetOf(std::move(set_of_targets)));
      result_.states[id].calls.push_back({rule, target});
    }
    return absl::OkStatus();
  }

  absl::StatusOr<StateId> TargetOf(StateSet targets) {
    std::sort(targets.begin(), targets.end());
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    return IdOf(Closure(std::move(targets), /*at_begin=*/false, /*at_end=*/false));
  }

  const Nfa& nfa_;
  Budget& budget_;
  std::vector<bool> marked_;
  absl::flat_hash_map<StateSet, StateId> ids_;
  std::vector<StateSet> sets_;
  Automaton result_;
};

// Calls `visit(first, last, target_a, target_b)` for the byte ranges on which both states go one way; kDead: none.
template <typename Visit>
absl::Status SweepPair(const std::vector<Automaton::Edge>& a, const std::vector<Automaton::Edge>& b, Visit visit) {
  size_t i = 0;
  size_t j = 0;
  for (int first = 0; first < 256;) {
    while (i < a.size() && a[i].last < first) ++i;
    while (j < b.size() && b[j].last < first) ++j;
    int end = 256;
    const auto target = [&](const std::vector<Automaton::Edge>& edges, size_t at) {
      if (at == edges.size()) return kDead;
      const bool inside = edges[at].first <= first;
      end = std::min<int>(end, inside ? edges[at].last + 1 : edges[at].first);
      return inside ? edges[at].target : kDead;
    };
    const StateId to_a = target(a, i);
    const StateId to_b = target(b, j);
    RETURN_IF_ERROR(visit(static_cast<uint8_t>(first), static_cast<uint8_t>(end - 1), to_a, to_b));
    first = end;
  }
  return absl::OkStatus();
}

// The product of two automata. `b` may be dead where `subtract` is set: then everything of `a` stays.
absl::StatusOr<Automaton> Product(const Automaton& a, const Automaton& b, bool subtract, Budget& budget) {
  static const std::vector<Automaton::Edge> kNoEdges;
  Automaton result;
  absl::flat_hash_map<std::pair<StateId, StateId>, StateId> ids = {{{0, 0}, 0}};
  std::vector<std::pair<StateId, StateId>> pairs = {{0, 0}};
  for (StateId id = 0; id < pairs.size(); ++id) {
    const auto [in_a, in_b] = pairs[id];
    const bool b_accepts = in_b != kDead && b.states[in_b].accepts;
    result.states[id].accepts = a.states[in_a].accepts && b_accepts != subtract;
    const auto& b_edges = in_b == kDead ? kNoEdges : b.states[in_b].edges;
    const auto visit = [&](uint8_t first, uint8_t last, StateId to_a, StateId to_b) -> absl::Status {
      if (to_a == kDead || (to_b == kDead && !subtract)) return absl::OkStatus();
      RETURN_IF_ERROR(budget.Spend(4));
      const auto [found, is_new] = ids.try_emplace({to_a, to_b}, static_cast<StateId>(pairs.size()));
      if (is_new) {
        if (pairs.size() >= Budget::kMaxStates) return TooComplex("an automaton");
        pairs.push_back({to_a, to_b});
        result.states.emplace_back();
      }
      AppendEdge(result.states[id].edges, {first, last, found->second});
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(SweepPair(a.states[in_a].edges, b_edges, visit));
  }
  return Minimize(std::move(result), budget);
}

// Removes what does not lead to an accepting state. The start stays.
Automaton Trim(const Automaton& automaton) {
  const size_t count = automaton.states.size();
  std::vector<std::vector<StateId>> sources(count);
  std::vector<StateId> pending;
  std::vector<bool> useful(count);
  for (StateId id = 0; id < count; ++id) {
    for (const Automaton::Edge& edge : automaton.states[id].edges) sources[edge.target].push_back(id);
    for (const Automaton::Call& call : automaton.states[id].calls) sources[call.target].push_back(id);
    if (automaton.states[id].accepts) {
      useful[id] = true;
      pending.push_back(id);
    }
  }
  while (!pending.empty()) {
    const StateId id = pending.back();
    pending.pop_back();
    for (const StateId source : sources[id]) {
      if (!useful[source]) {
        useful[source] = true;
        pending.push_back(source);
      }
    }
  }
  useful[0] = true;
  std::vector<StateId> renamed(count, kDead);
  StateId next = 0;
  for (StateId id = 0; id < count; ++id) {
    if (useful[id]) renamed[id] = next++;
  }
  Automaton result;
  result.states.resize(next);
  for (StateId id = 0; id < count; ++id) {
    if (!useful[id]) continue;
    Automaton::State& state = result.states[renamed[id]];
    state.accepts = automaton.states[id].accepts;
    for (Automaton::Edge edge : automaton.states[id].edges) {
      if (useful[edge.target]) state.edges.push_back({edge.first, edge.last, renamed[edge.target]});
    }
    for (Automaton::Call call : automaton.states[id].calls) {
      if (useful[call.target]) state.calls.push_back({call.rule, renamed[call.target]});
    }
  }
  return result;
}

// What distinguishes a state, given a partition: its edges with the blocks they lead to.
std::vector<uint32_t> Signature(const Automaton::State& state, const std::vector<uint32_t>& blocks) {
  std::vector<uint32_t> signature = {state.accepts};
  std::vector<Automaton::Edge> edges;
  for (const Automaton::Edge& edge : state.edges) {
    AppendEdge(edges, {edge.first, edge.last, blocks[edge.target]});
  }
  for (const Automaton::Edge& edge : edges) {
    signature.push_back(uint32_t{edge.first} << 8 | edge.last);
    signature.push_back(edge.target);
  }
  signature.push_back(~uint32_t{0});
  for (const Automaton::Call& call : state.calls) {
    signature.push_back(call.rule);
    signature.push_back(blocks[call.target]);
  }
  return signature;
}

Automaton Quotient(const Automaton& automaton, const std::vector<uint32_t>& blocks, uint32_t count) {
  Automaton result;
  result.states.resize(count);
  std::vector<bool> done(count);
  for (StateId id = 0; id < automaton.states.size(); ++id) {
    if (done[blocks[id]]) continue;
    done[blocks[id]] = true;
    Automaton::State& state = result.states[blocks[id]];
    state.accepts = automaton.states[id].accepts;
    for (const Automaton::Edge& edge : automaton.states[id].edges) {
      AppendEdge(state.edges, {edge.first, edge.last, blocks[edge.target]});
    }
    for (const Automaton::Call& call : automaton.states[id].calls) {
      state.calls.push_back({call.rule, blocks[call.target]});
    }
  }
  return result;
}

}  // namespace

absl::Status TooComplex(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the grammar is too complex: ", what, " grows too large"));
}

absl::Status Budget::Spend(int64_t steps) {
  left_ -= steps;
  return left_ < 0 ? TooComplex("the work to compile it") : absl::OkStatus();
}

std::optional<StateId> Automaton::Next(StateId state, uint8_t byte) const {
  for (const Edge& edge : states[state].edges) {
    if (edge.first <= byte && byte <= edge.last) return edge.target;
  }
  return std::nullopt;
}

bool Automaton::Matches(absl::string_view text) const {
  StateId state = 0;
  for (const char byte : text) {
    const std::optional<StateId> next = Next(state, static_cast<uint8_t>(byte));
    if (!next) return false;
    state = *next;
  }
  return states[state].accepts;
}

bool Automaton::IsEmpty() const {
  return std::none_of(states.begin(), states.end(), [](const State& state) { return state.accepts; });
}

absl::StatusOr<Automaton> Determinize(const Nfa& nfa, Budget& budget) {
  ASSIGN_OR_RETURN(Automaton automaton, Determinizer(nfa, budget).Run());
  return Minimize(std::move(automaton), budget);
}

absl::StatusOr<Automaton> Intersect(const Automaton& a, const Automaton& b, Budget& budget) {
  return Product(a, b, /*subtract=*/false, budget);
}

absl::StatusOr<Automaton> Subtract(const Automaton& a, const Automaton& b, Budget& budget) {
  return Product(a, b, /*subtract=*/true, budget);
}

// Moore's partition refinement: needs as many rounds as the longest word that tells two states apart, which is few
// unless there are long counted chains. Those are left as they are.
absl::StatusOr<Automaton> Minimize(Automaton automaton, Budget& budget) {
  constexpr int64_t kMaxWork = 4'000'000;
  automaton = Trim(automaton);
  std::vector<uint32_t> blocks(automaton.states.size(), 0);
  uint32_t count = 1;
  for (int64_t work = 0; work < kMaxWork;) {
    absl::flat_hash_map<std::vector<uint32_t>, uint32_t> found;
    std::vector<uint32_t> refined(blocks.size());
    for (StateId id = 0; id < blocks.size(); ++id) {
      std::vector<uint32_t> signature = Signature(automaton.states[id], blocks);
      signature.push_back(blocks[id]);
      work += static_cast<int64_t>(signature.size());
      // Blocks are numbered by their first state, so the start stays state 0.
      refined[id] = found.try_emplace(std::move(signature), static_cast<uint32_t>(found.size())).first->second;
    }
    blocks = std::move(refined);
    if (found.size() == count) {
      RETURN_IF_ERROR(budget.Spend(work / 4));
      return Quotient(automaton, blocks, count);
    }
    count = static_cast<uint32_t>(found.size());
  }
  RETURN_IF_ERROR(budget.Spend(kMaxWork / 4));
  return automaton;
}

}  // namespace tandem::grammar
