#include "scheduler/micro_batches.h"

#include <algorithm>

namespace tandem::scheduler {

std::vector<MicroBatch> CutStep(absl::Span<const StepItem> items, int count) {
  int64_t left = 0;
  for (const StepItem& item : items) {
    left += item.num_tokens;
  }
  std::vector<MicroBatch> cut;
  size_t next = 0;
  int64_t taken = 0;  // tokens of items[next] that are placed
  for (int64_t remaining = std::min<int64_t>(count, left); remaining > 0; --remaining) {
    int64_t room = (left + remaining - 1) / remaining;
    left -= room;
    MicroBatch& micro_batch = cut.emplace_back();
    micro_batch.follows = taken > 0;
    while (room > 0) {
      const int64_t tokens = std::min(room, items[next].num_tokens - taken);
      micro_batch.items.push_back({items[next].sequence, tokens});
      room -= tokens;
      taken += tokens;
      if (taken == items[next].num_tokens) {
        taken = 0;
        ++next;
      }
    }
  }
  return cut;
}

std::vector<MicroBatch> CutStep(absl::Span<const StepItem> items, absl::Span<const int> directions, int num_directions,
                                int count) {
  std::vector<std::vector<StepItem>> of_direction(num_directions);
  std::vector<int64_t> tokens(num_directions, 0);
  int64_t left = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    of_direction[directions[i]].push_back(items[i]);
    tokens[directions[i]] += items[i].num_tokens;
    left += items[i].num_tokens;
  }
  std::vector<MicroBatch> cut;
  for (int direction = 0; direction < num_directions; ++direction) {
    if (tokens[direction] == 0) {
      continue;
    }
    const auto others = static_cast<int>(std::count_if(tokens.begin() + direction + 1, tokens.end(),
                                                       [](int64_t waiting) { return waiting > 0; }));
    const auto share = static_cast<int>((count * tokens[direction] + left / 2) / left);
    const int own = std::max(std::min(share, count - others), 1);
    for (MicroBatch& micro_batch : CutStep(of_direction[direction], own)) {
      micro_batch.direction = direction;
      cut.push_back(std::move(micro_batch));
    }
    count -= own;
    left -= tokens[direction];
  }
  return cut;
}

}  // namespace tandem::scheduler
