#include "scheduler/batcher.h"

#include <algorithm>

namespace tandem::scheduler {
namespace {

// Assigns tokens and blocks to one sequence after the other.
class Planner {
 public:
  Planner(absl::Span<const SequenceView> sequences, const BatchLimits& limits)
      : sequences_(sequences),
        limits_(limits),
        budget_(limits.max_batch_tokens),
        available_(limits.available_blocks) {}

  StepPlan Plan() {
    if (!AddDecodes() || !AddPrompts()) {
      return {.items = {}, .preempt = static_cast<int32_t>(sequences_.size()) - 1};
    }
    return {.items = std::move(items_), .preempt = std::nullopt};
  }

 private:
  // Both return false when the last sequence has to give way first.
  bool AddDecodes() {
    for (size_t i = 0; i < sequences_.size() && budget_ > 0; ++i) {
      if (sequences_[i].decoding && sequences_[i].pending_tokens > 0 && Add(i, 1) == 0 && sequences_.size() > 1) {
        return false;
      }
    }
    return true;
  }

  bool AddPrompts() {
    int64_t behind = 0;  // tokens that later prompts could use
    for (const SequenceView& sequence : sequences_) {
      behind += sequence.decoding ? 0 : sequence.pending_tokens;
    }
    for (size_t i = 0; i < sequences_.size() && budget_ > 0; ++i) {
      const SequenceView& sequence = sequences_[i];
      if (sequence.decoding || sequence.pending_tokens == 0) {
        continue;
      }
      behind -= sequence.pending_tokens;
      const int64_t share = std::max((budget_ + 1) / 2, budget_ - behind);
      const bool outranks_last = sequence.priority < sequences_.back().priority;
      if (Add(i, share) == 0 && outranks_last) {
        return false;
      }
    }
    return !items_.empty() || sequences_.size() == 1 || NothingPending();
  }

  // Plans up to `most` tokens of a sequence, as many as budget and blocks allow. Returns how many.
  int64_t Add(size_t index, int64_t most) {
    const SequenceView& sequence = sequences_[index];
    const int64_t copies = sequence.copies_block ? 1 : 0;
    const int64_t reachable = (sequence.held_blocks + available_ - copies) * limits_.block_size - sequence.cached_tokens;
    int64_t tokens = std::min({sequence.pending_tokens, budget_, most, reachable});
    if (tokens <= 0 || copies > available_) {
      return 0;
    }
    const int64_t end = sequence.cached_tokens + tokens;
    const int64_t blocks = (end + limits_.block_size - 1) / limits_.block_size;
    available_ -= std::max<int64_t>(blocks - sequence.held_blocks, 0) + copies;
    budget_ -= tokens;
    items_.push_back({static_cast<int32_t>(index), tokens});
    return tokens;
  }

  bool NothingPending() const {
    return std::all_of(sequences_.begin(), sequences_.end(),
                       [](const SequenceView& sequence) { return sequence.pending_tokens == 0; });
  }

  const absl::Span<const SequenceView> sequences_;
  const BatchLimits& limits_;
  int64_t budget_;
  int64_t available_;
  std::vector<StepItem> items_;
};

int64_t BlocksWanted(const SequenceView& sequence, int64_t block_size) {
  const int64_t end = sequence.cached_tokens + sequence.pending_tokens + 1;
  return std::max<int64_t>((end + block_size - 1) / block_size - sequence.held_blocks, 0) +
         (sequence.copies_block ? 1 : 0);
}

}  // namespace

StepPlan PlanStep(absl::Span<const SequenceView> sequences, const BatchLimits& limits) {
  return Planner(sequences, limits).Plan();
}

bool HasRoom(const SequenceView& candidate, absl::Span<const SequenceView> running, const BatchLimits& limits) {
  if (running.empty()) {
    return true;
  }
  int64_t wanted = BlocksWanted(candidate, limits.block_size) + static_cast<int64_t>(running.size());
  for (const SequenceView& sequence : running) {
    wanted += sequence.decoding ? 0 : BlocksWanted(sequence, limits.block_size);
  }
  return wanted <= limits.available_blocks;
}

}  // namespace tandem::scheduler
