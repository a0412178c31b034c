#include "model/grammar/stack_set.h"

#include <algorithm>
#include <tuple>

namespace tandem::grammar {
namespace {

// The state of the frame below all others.
constexpr StateId kEndState = Grammar::kDead - 1;

uint64_t Mix(uint64_t a, uint64_t b) {
  __extension__ using uint128 = unsigned __int128;
  const uint128 product = static_cast<uint128>(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD6E8FEB86659FD93u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

StackKey Combine(StackKey key, uint64_t a, uint64_t b) {
  return {Mix(key.low + a, 0xA0761D6478BD642Fu + b), Mix(key.high ^ b, 0xE7037ED1A0B428DBu ^ (a << 1))};
}

bool IsBefore(const Frame& a, const Frame& b) {
  return std::tie(a.state, a.count, a.callers) < std::tie(b.state, b.count, b.callers);
}

uint32_t Near(uint32_t distance) { return std::min(distance, StackSet::kCountHorizon); }

// A count as far as it makes a difference: how much is missing, how much is left.
uint32_t HorizonCount(const Grammar::Rule& rule, uint32_t count) {
  const uint32_t missing = count < rule.min ? Near(rule.min - count) : 0;
  const uint32_t left = rule.max == kUnbounded ? StackSet::kCountHorizon : Near(rule.max - count);
  return missing * (StackSet::kCountHorizon + 1) + left;
}

}  // namespace

StackSet::StackSet(const Grammar* grammar) : grammar_(grammar) {
  frames_.push_back({kEndState, 0, 0});
  sets_.push_back({0, 1, {1, 2}, {1, 2}, 0});
}

absl::Span<const Frame> StackSet::FramesOf(FrameSetId set) const {
  return absl::MakeConstSpan(frames_).subspan(sets_[set].begin, sets_[set].end - sets_[set].begin);
}

StackKey StackSet::HashFrame(const Frame& frame, bool exact) const {
  const Set& callers = sets_[frame.callers];
  if (frame.state == kEndState) return {3, 4};
  const Grammar::Rule& rule = grammar_->rule(grammar_->state(frame.state).rule);
  const uint32_t count = exact || !rule.counted ? frame.count : HorizonCount(rule, frame.count);
  const StackKey& below = exact ? callers.id : callers.mask_key;
  return Combine(Combine(below, frame.state, count), 5, 6);
}

bool StackSet::IsSame(const Frame& a, const Frame& b) const {
  return a.state == b.state && a.count == b.count && sets_[a.callers].id == sets_[b.callers].id;
}

FrameSetId StackSet::MakeSet(std::vector<Frame> frames) {
  std::sort(frames.begin(), frames.end(), IsBefore);
  Set set;
  set.begin = static_cast<uint32_t>(frames_.size());
  for (const Frame& frame : frames) {
    const auto begin = frames_.begin() + set.begin;
    const auto is_same = [&](const Frame& other) { return IsSame(frame, other); };
    if (std::none_of(begin, frames_.end(), is_same)) frames_.push_back(frame);
  }
  set.end = static_cast<uint32_t>(frames_.size());
  const auto made = absl::MakeConstSpan(frames_).subspan(set.begin);
  // The order within a set depends on when its callers were made: keys must not.
  for (const Frame& frame : made) {
    const StackKey exact = HashFrame(frame, true);
    const StackKey masked = HashFrame(frame, false);
    set.id = {set.id.low + exact.low, set.id.high + exact.high};
    set.mask_key = {set.mask_key.low + masked.low, set.mask_key.high + masked.high};
  }
  set.bytes_to_end = BytesToEnd(made);
  sets_.push_back(set);
  return static_cast<FrameSetId>(sets_.size() - 1);
}

bool StackSet::Start(std::vector<Frame>& out) {
  const Grammar::Rule& root = grammar_->rule(grammar_->root());
  calls_.push_back({grammar_->root(), {kEndState, 0, kBottom}});
  EnterCalls();
  const bool ends = Finish(out);
  return ends || root.is_nullable;
}

bool StackSet::Step(absl::Span<const Frame> frames, uint8_t byte, std::vector<Frame>& out) {
  if (frames.size() == 1) {
    // Nearly every byte: one place, and the next one is as plain.
    const Frame frame = frames[0];
    const StateId next = grammar_->Next(frame.state, byte);
    if (next == Grammar::kDead) return false;
    if (grammar_->state(next).flags == Grammar::kHasEdges) {
      out.push_back({next, frame.count, frame.callers});
      return false;
    }
    pending_.push_back({next, frame.count, frame.callers});
  } else {
    for (const Frame& frame : frames) {
      const StateId next = grammar_->Next(frame.state, byte);
      if (next != Grammar::kDead) pending_.push_back({next, frame.count, frame.callers});
    }
    if (pending_.empty()) return false;
  }
  while (!pending_.empty() && !overflow_) {
    const Frame frame = pending_.back();
    pending_.pop_back();
    Arrive(frame);
  }
  EnterCalls();
  return Finish(out);
}

void StackSet::Arrive(Frame frame) {
  if (frame.state == kEndState) {
    can_end_ = true;
    return;
  }
  if (std::any_of(seen_.begin(), seen_.end(), [&](const Frame& other) { return IsSame(frame, other); })) return;
  seen_.push_back(frame);
  overflow_ = seen_.size() > kMaxFrames;
  const Grammar::State* state = &grammar_->state(frame.state);
  const bool accepts = (state->flags & Grammar::kAccepts) != 0;
  if (accepts && (state->flags & Grammar::kCounted) != 0) {
    const Grammar::Rule& rule = grammar_->rule(state->rule);
    ++frame.count;
    if (frame.count >= rule.min) Return(frame.callers);
    if (frame.count >= rule.max) return;
    if (rule.max == kUnbounded) frame.count = std::min(frame.count, rule.min);  // more makes no difference
    frame.state = rule.start;
    state = &grammar_->state(frame.state);
  } else if (accepts) {
    Return(frame.callers);
  }
  if ((state->flags & Grammar::kHasEdges) != 0) places_.push_back(frame);
  if ((state->flags & Grammar::kHasCalls) != 0) AddCalls(frame);
}

void StackSet::Return(FrameSetId callers) {
  if (std::find(returned_.begin(), returned_.end(), callers) != returned_.end()) return;
  returned_.push_back(callers);
  const absl::Span<const Frame> frames = FramesOf(callers);
  pending_.insert(pending_.end(), frames.begin(), frames.end());
}

void StackSet::AddCalls(const Frame& frame) {
  const Grammar::State& state = grammar_->state(frame.state);
  for (uint32_t i = state.calls_begin; i < state.calls_end; ++i) {
    const Automaton::Call& call = grammar_->calls()[i];
    if ((grammar_->state(call.target).flags & Grammar::kTail) == 0) {
      calls_.push_back({call.rule, {call.target, frame.count, frame.callers}});
      continue;
    }
    // The caller has nothing left to do: the called rule returns to its callers at once, and a list that is written as
    // a recursion needs no more stack than one that is a repetition.
    for (const Frame& back : FramesOf(frame.callers)) calls_.push_back({call.rule, back});
  }
}

// In the order of ranks, all calls of a rule are known when it is entered: one frame for all of them.
void StackSet::EnterCalls() {
  while (!calls_.empty() && !overflow_) {
    const auto rank = [&](const Call& call) { return grammar_->rule(call.rule).rank; };
    const RuleId rule = std::min_element(calls_.begin(), calls_.end(), [&](const Call& a, const Call& b) {
                          return rank(a) < rank(b);
                        })->rule;
    std::vector<Frame> backs;
    const auto taken =
        std::partition(calls_.begin(), calls_.end(), [&](const Call& call) { return call.rule != rule; });
    for (auto call = taken; call != calls_.end(); ++call) backs.push_back(call->back);
    calls_.erase(taken, calls_.end());
    const Frame frame = {grammar_->rule(rule).start, 0, MakeSet(std::move(backs))};
    const uint8_t flags = grammar_->state(frame.state).flags;
    if ((flags & Grammar::kHasEdges) != 0) places_.push_back(frame);
    if ((flags & Grammar::kHasCalls) != 0) AddCalls(frame);
    overflow_ = overflow_ || places_.size() > kMaxFrames || calls_.size() > kMaxFrames;
  }
}

// Frames that differ in their callers alone become one.
bool StackSet::Finish(std::vector<Frame>& out) {
  if (overflow_) {
    places_.clear();
    can_end_ = false;
  }
  std::sort(places_.begin(), places_.end(), IsBefore);
  for (size_t i = 0; i < places_.size();) {
    size_t end = i + 1;
    while (end < places_.size() && places_[end].state == places_[i].state && places_[end].count == places_[i].count) {
      ++end;
    }
    Frame frame = places_[i];
    if (end > i + 1) {
      std::vector<Frame> callers;
      for (; i < end; ++i) {
        const absl::Span<const Frame> frames = FramesOf(places_[i].callers);
        callers.insert(callers.end(), frames.begin(), frames.end());
      }
      frame.callers = MakeSet(std::move(callers));
    }
    i = end;
    out.push_back(frame);
  }
  const bool can_end = can_end_;
  pending_.clear();
  seen_.clear();
  places_.clear();
  returned_.clear();
  calls_.clear();
  can_end_ = overflow_ = false;
  return can_end;
}

StackKey StackSet::KeyOf(absl::Span<const Frame> frames, bool can_end) const {
  StackKey key = {grammar_->id(), can_end ? 7u : 8u};
  for (const Frame& frame : frames) {
    const StackKey masked = HashFrame(frame, false);
    key = {key.low + masked.low, key.high + masked.high};
  }
  return Combine(key, grammar_->id(), frames.size());
}

uint64_t StackSet::BytesToEnd(absl::Span<const Frame> frames) const {
  uint64_t best = ~uint64_t{0};
  for (const Frame& frame : frames) {
    if (frame.state == kEndState) return 0;
    const Grammar::State& state = grammar_->state(frame.state);
    const Grammar::Rule& rule = grammar_->rule(state.rule);
    uint64_t bytes = state.min_bytes;
    if (rule.counted) {
      const bool between = frame.state == rule.start;
      const uint32_t missing = frame.count < rule.min ? rule.min - frame.count : 0;
      // Within a text, that text is one of the missing ones.
      const uint64_t further = between || missing == 0 ? missing : missing - 1;
      bytes = (between ? 0 : bytes) + further * rule.item_bytes;
    }
    best = std::min(best, bytes + sets_[frame.callers].bytes_to_end);
  }
  return best;
}

void StackSet::Truncate(Size size) {
  sets_.resize(size.sets);
  frames_.resize(size.frames);
}

// Sets refer to earlier sets only, so one pass backwards marks, and one forwards copies.
void StackSet::Compact(std::vector<Frame>& frames) {
  std::vector<bool> needed(sets_.size());
  needed[kBottom] = true;
  for (const Frame& frame : frames) needed[frame.callers] = true;
  for (size_t id = sets_.size(); id-- > 1;) {
    if (!needed[id]) continue;
    for (const Frame& frame : FramesOf(static_cast<FrameSetId>(id))) needed[frame.callers] = true;
  }
  std::vector<FrameSetId> renamed(sets_.size());
  std::vector<Set> sets;
  std::vector<Frame> kept;
  for (FrameSetId id = 0; id < sets_.size(); ++id) {
    if (!needed[id]) continue;
    renamed[id] = static_cast<FrameSetId>(sets.size());
    Set set = sets_[id];
    set.begin = static_cast<uint32_t>(kept.size());
    for (Frame frame : FramesOf(id)) {
      frame.callers = renamed[frame.callers];
      kept.push_back(frame);
    }
    set.end = static_cast<uint32_t>(kept.size());
    sets.push_back(set);
  }
  sets_ = std::move(sets);
  frames_ = std::move(kept);
  for (Frame& frame : frames) frame.callers = renamed[frame.callers];
}

}  // namespace tandem::grammar
