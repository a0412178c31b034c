// Which tokens go into the next step, and who has to give way. Pure: a snapshot of the sequences in, a decision out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"

namespace tandem::scheduler {

// A sequence that may run. Snapshots list sequences by precedence: lower priority value first, then earlier arrival.
struct SequenceView {
  int64_t pending_tokens = 0;  // known but not in the KV cache: the rest of the prompt, or what decode feeds back
  int64_t cached_tokens = 0;   // in the KV cache
  int64_t held_blocks = 0;
  bool copies_block = false;  // its next token is written to a block that others read, so one more block is needed
  bool decoding = false;
  int32_t priority = 0;
};

struct BatchLimits {
  int64_t max_batch_tokens = 512;  // tokens of one step
  int64_t block_size = 32;
  int64_t available_blocks = 0;  // free ones and those that the prefix cache can give up
};

struct StepItem {
  int32_t sequence = 0;  // index into the snapshot
  int64_t num_tokens = 0;
  bool operator==(const StepItem&) const = default;
};

// Either what to run, or first somebody to preempt (then there are no items): the caller takes that sequence's blocks
// away, removes it from the snapshot and asks again.
struct StepPlan {
  std::vector<StepItem> items;
  std::optional<int32_t> preempt;
};

// Decoding sequences first, one token each. The rest of the budget goes to prompts in chunks: each takes what it needs,
// but no more than half of what is left while later ones could use the other half, so that a long prompt does not hold
// up the short ones behind it.
//
// Blocks: the last sequence of the snapshot is preempted when a decoding one lacks a block, when a prompt of a strictly
// better priority lacks one, or when nothing else can run. A prompt that lacks blocks otherwise waits. The first
// sequence is never preempted, so it always gets on; a snapshot with pending tokens never gives an empty plan as long as
// the blocks suffice for the first sequence alone.
StepPlan PlanStep(absl::Span<const SequenceView> sequences, const BatchLimits& limits);

// Whether a waiting sequence should join the running ones: there is room for all of its pending tokens and one more,
// beside what the running ones still need and a block for each of them. The first sequence is always let in.
bool HasRoom(const SequenceView& candidate, absl::Span<const SequenceView> running, const BatchLimits& limits);

}  // namespace tandem::scheduler
