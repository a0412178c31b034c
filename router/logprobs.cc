#include "router/logprobs.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "compute/logits.h"

namespace tandem::router {

PositionLogprobs LogprobsOf(absl::Span<const float> logits, int32_t token, int32_t top) {
  const double normaliser = compute::LogSumExp(logits);
  const auto logprob = [&](int32_t id) { return static_cast<float>(logits[id] - normaliser); };
  const auto ahead = [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  PositionLogprobs result;
  int32_t rank = 1;
  for (const float logit : logits) {
    rank += logit > logits[token] ? 1 : 0;
  }
  result.chosen = {token, logprob(token), rank};
  // A heap of the best so far, its worst on top.
  std::vector<int32_t> best;
  const size_t wanted = std::min(static_cast<size_t>(std::max(top, 0)), logits.size());
  float entry = -std::numeric_limits<float>::infinity();
  for (int32_t id = 0; wanted > 0 && id < static_cast<int32_t>(logits.size()); ++id) {
    if (!(logits[id] >= entry) || (best.size() == wanted && !ahead(id, best.front()))) {
      continue;
    }
    if (best.size() == wanted) {
      std::pop_heap(best.begin(), best.end(), ahead);
      best.pop_back();
    }
    best.push_back(id);
    std::push_heap(best.begin(), best.end(), ahead);
    if (best.size() == wanted) {
      entry = logits[best.front()];
    }
  }
  std::sort(best.begin(), best.end(), ahead);
  for (size_t i = 0; i < best.size(); ++i) {
    result.top.push_back({best[i], logprob(best[i]), static_cast<int32_t>(i) + 1});
  }
  return result;
}

}  // namespace tandem::router
