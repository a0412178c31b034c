// Finite automata over bytes, whose edges may also be calls of a grammar's rules.
//
// Nondeterministic ones are put together edge by edge, determinised and minimised; deterministic ones without calls can
// be intersected and subtracted. Everything is bounded by a Budget, because the languages come from strangers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/status.h"

namespace tandem::grammar {

using RuleId = uint32_t;
using StateId = uint32_t;

// The work that compiling one grammar may cost, in elementary steps. Not thread-safe.
class Budget {
 public:
  static constexpr int64_t kSteps = 40'000'000;
  static constexpr size_t kMaxStates = 30'000;        // of one deterministic automaton
  static constexpr size_t kMaxNfaStates = 200'000;    // of one nondeterministic automaton
  static constexpr size_t kMaxTotalStates = 200'000;  // of a grammar

  // Errors: INVALID_ARGUMENT once more than kSteps were spent.
  absl::Status Spend(int64_t steps);

 private:
  int64_t left_ = kSteps;
};

// INVALID_ARGUMENT: what every limit of this library answers.
absl::Status TooComplex(absl::string_view what);

// Deterministic. State 0 is the start.
struct Automaton {
  struct Edge {
    uint8_t first;
    uint8_t last;  // inclusive
    StateId target;
  };
  struct Call {
    RuleId rule;
    StateId target;
  };
  struct State {
    std::vector<Edge> edges;  // ascending, disjoint
    std::vector<Call> calls;  // ascending rules, distinct
    bool accepts = false;
  };

  std::vector<State> states = std::vector<State>(1);

  std::optional<StateId> Next(StateId state, uint8_t byte) const;
  // For automata without calls.
  bool Matches(absl::string_view text) const;
  // Whether nothing is accepted. For automata without calls.
  bool IsEmpty() const;
};

// Nondeterministic.
struct Nfa {
  enum class Kind : uint8_t { kEpsilon, kBytes, kCall, kAtBegin, kAtEnd };
  struct Edge {
    Kind kind = Kind::kEpsilon;
    uint8_t first = 0;  // kBytes
    uint8_t last = 0;
    RuleId rule = 0;  // kCall
    StateId target = 0;
  };

  std::vector<std::vector<Edge>> states;
  StateId start = 0;
  StateId accept = 0;

  StateId AddState() {
    states.emplace_back();
    return static_cast<StateId>(states.size() - 1);
  }
  void AddEpsilon(StateId from, StateId to) { states[from].push_back({Nfa::Kind::kEpsilon, 0, 0, 0, to}); }
};

// The minimal deterministic automaton (where minimising is cheap enough), without states that lead nowhere.
absl::StatusOr<Automaton> Determinize(const Nfa& nfa, Budget& budget);

// For automata without calls.
absl::StatusOr<Automaton> Intersect(const Automaton& a, const Automaton& b, Budget& budget);
absl::StatusOr<Automaton> Subtract(const Automaton& a, const Automaton& b, Budget& budget);

absl::StatusOr<Automaton> Minimize(Automaton automaton, Budget& budget);

// An automaton given by its transition function over values of `State` (ordered by <): the way to write down one that
// computes. `step` returns nullopt where the text cannot go on.
template <typename State, typename Step, typename Accepts>
absl::StatusOr<Automaton> BuildAutomaton(const State& start, Step step, Accepts accepts, Budget& budget) {
  Automaton result;
  std::map<State, StateId> ids = {{start, 0}};
  std::vector<State> pending = {start};
  for (StateId id = 0; id < pending.size(); ++id) {
    RETURN_IF_ERROR(budget.Spend(256));
    const State from = pending[id];
    result.states[id].accepts = accepts(from);
    for (int byte = 0; byte < 256; ++byte) {
      const std::optional<State> to = step(from, static_cast<uint8_t>(byte));
      if (!to) continue;
      const auto [found, is_new] = ids.try_emplace(*to, static_cast<StateId>(pending.size()));
      if (is_new) {
        if (pending.size() >= Budget::kMaxStates) return TooComplex("an automaton");
        pending.push_back(*to);
        result.states.emplace_back();
      }
      std::vector<Automaton::Edge>& edges = result.states[id].edges;
      if (!edges.empty() && edges.back().target == found->second && edges.back().last + 1 == byte) {
        edges.back().last = static_cast<uint8_t>(byte);
      } else {
        edges.push_back({static_cast<uint8_t>(byte), static_cast<uint8_t>(byte), found->second});
      }
    }
  }
  return Minimize(std::move(result), budget);
}

}  // namespace tandem::grammar
