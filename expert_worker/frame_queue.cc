#include "expert_worker/frame_queue.h"

#include <algorithm>
#include <utility>

namespace tandem::expert_worker {
namespace {

int64_t PairsOf(const WaitingFrame& waiting) { return static_cast<int64_t>(waiting.frame.pairs.size()); }

}  // namespace

PushResult FrameQueue::TryPush(WaitingFrame&& frame) {
  absl::MutexLock lock(&mutex_);
  if (closed_) {
    return PushResult::kClosed;
  }
  auto router = std::find_if(routers_.begin(), routers_.end(),
                             [&](const Router& router) { return router.origin == frame.frame.origin; });
  if ((router == routers_.end() ? 0 : router->frames.size()) >= capacity_) {
    return PushResult::kFull;
  }
  if (router == routers_.end()) {
    routers_.push_back({frame.frame.origin, {}});
    router = std::prev(routers_.end());
  }
  router->frames.push_back(std::move(frame));
  ++size_;
  return PushResult::kOk;
}

std::vector<WaitingFrame> FrameQueue::TryPopBatch() {
  std::vector<WaitingFrame> batch;
  absl::MutexLock lock(&mutex_);
  if (routers_.empty()) {
    return batch;
  }
  const int32_t layer = routers_.front().frames.front().frame.layer;
  // For each router the next of its frames that may join, looked for from where the last one was.
  std::vector<size_t> next(routers_.size(), 0);
  int64_t pairs = 0;
  bool joined = true;
  while (joined) {
    joined = false;
    for (size_t r = 0; r < routers_.size(); ++r) {
      std::deque<WaitingFrame>& frames = routers_[r].frames;
      while (next[r] < frames.size() && frames[next[r]].frame.layer != layer) ++next[r];
      if (next[r] == frames.size()) {
        continue;
      }
      if (!batch.empty() && pairs + PairsOf(frames[next[r]]) > max_batch_pairs_) {
        next[r] = frames.size();  // the rest of this router's frames stay in order behind it
        continue;
      }
      pairs += PairsOf(frames[next[r]]);
      batch.push_back(std::move(frames[next[r]]));
      frames.erase(frames.begin() + static_cast<std::ptrdiff_t>(next[r]));
      joined = true;
    }
  }
  size_ -= batch.size();
  std::rotate(routers_.begin(), routers_.begin() + 1, routers_.end());
  std::erase_if(routers_, [](const Router& router) { return router.frames.empty(); });
  return batch;
}

void FrameQueue::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

bool FrameQueue::closed() const {
  absl::MutexLock lock(&mutex_);
  return closed_;
}

size_t FrameQueue::size() const {
  absl::MutexLock lock(&mutex_);
  return size_;
}

}  // namespace tandem::expert_worker
