// The stacks of a pushdown automaton that is in several places at once: a graph of frames with shared tails ("graph-
// structured stack", Tomita 1987). Stacks that are in the same place at the same position of the text are one frame
// with several ways back, so ambiguity costs no more than there are states.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "model/grammar/grammar.h"

namespace tandem::grammar {

using FrameSetId = uint32_t;

// A place in a rule: its state, how many texts of a counted rule are complete, and where the rule was called from.
struct Frame {
  StateId state = 0;
  uint32_t count = 0;
  FrameSetId callers = 0;
};

// 128 bits that stand for a whole set of stacks; that two sets share them is not expected to ever happen.
struct StackKey {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const StackKey& other) const { return low == other.low && high == other.high; }
};

// Sets of frames, each made once and never changed; later sets refer to earlier ones. Also the one step that all
// matching is made of. Not thread-safe.
class StackSet {
 public:
  // What is called from nowhere.
  static constexpr FrameSetId kBottom = 0;
  // Counts further than this from their bounds make no difference to a token (TokenTable::kMaxTokenBytes).
  static constexpr uint32_t kCountHorizon = 65;
  // Places at one position; a step that would lead to more leads nowhere.
  static constexpr size_t kMaxFrames = 512;

  explicit StackSet(const Grammar* grammar);

  // The frames before the first byte. Returns whether the empty text is complete.
  bool Start(std::vector<Frame>& out);

  // Appends to `out` the frames to which `byte` leads from `frames`, which may lie in `out`; the result never does.
  // Returns whether the text may end there.
  bool Step(absl::Span<const Frame> frames, uint8_t byte, std::vector<Frame>& out);

  StackKey KeyOf(absl::Span<const Frame> frames, bool can_end) const;
  uint64_t BytesToEnd(absl::Span<const Frame> frames) const;

  // Memory is given back like a stack's: what was made since `size` was read is forgotten.
  struct Size {
    size_t sets = 0;
    size_t frames = 0;
  };
  Size size() const { return {sets_.size(), frames_.size()}; }
  void Truncate(Size size);

  // Forgets what `frames` do not need, and renames their callers.
  void Compact(std::vector<Frame>& frames);

 private:
  struct Set {
    uint32_t begin = 0;  // in frames_
    uint32_t end = 0;
    StackKey id;        // of the stacks, exactly
    StackKey mask_key;  // with counts as far as they matter
    uint64_t bytes_to_end = 0;
  };
  struct Call {
    RuleId rule = 0;
    Frame back;
  };

  absl::Span<const Frame> FramesOf(FrameSetId set) const;
  FrameSetId MakeSet(std::vector<Frame> frames);
  StackKey HashFrame(const Frame& frame, bool exact) const;
  bool IsSame(const Frame& a, const Frame& b) const;

  // The parts of a step: everything reachable without another byte.
  void Arrive(Frame frame);
  void Return(FrameSetId callers);
  void AddCalls(const Frame& frame);
  void EnterCalls();
  bool Finish(std::vector<Frame>& out);

  const Grammar* grammar_;
  std::vector<Set> sets_;
  std::vector<Frame> frames_;

  // Scratch of one step.
  std::vector<Frame> pending_;
  std::vector<Frame> seen_;
  std::vector<Frame> places_;
  std::vector<FrameSetId> returned_;
  std::vector<Call> calls_;
  bool can_end_ = false;
  bool overflow_ = false;
};

}  // namespace tandem::grammar
