#include "scheduler/planner/simulated_workers.h"

#include <algorithm>
#include <utility>

namespace tandem::scheduler {

double SimulatedLinkEnd::Pass(double now, double seconds) {
  busy_ += seconds;
  free_at_ = std::max(free_at_, now) + seconds;
  return free_at_;
}

double SimulatedWorkers::Start(double now) {
  if (!computing_.empty() || waiting_.empty()) {
    return 0;
  }
  const int layer = waiting_.front().layer;
  double tokens = 0;
  for (auto frame = waiting_.begin(); frame != waiting_.end();) {
    const bool fits = computing_.empty() || (tokens + frame->tokens) * top_k_ <= max_pairs_;
    if (frame->layer == layer && fits) {
      tokens += frame->tokens;
      computing_.push_back(*frame);
      frame = waiting_.erase(frame);
    } else {
      ++frame;
    }
  }
  const bool asleep = now - busy_until_ > costs_.worker_spin;
  const Curve& experts = layer == last_layer_ ? costs_.experts_again : costs_.experts;
  last_layer_ = layer;
  const double seconds = experts.At(tokens) + (asleep ? costs_.wake_up.At(tokens) : 0);
  busy_ += seconds;
  busy_until_ = now + seconds;
  return seconds;
}

std::vector<SimulatedFrame> SimulatedWorkers::Finish() { return std::exchange(computing_, {}); }

double SimulatedWorkers::busy(double now) const { return busy_ - std::max(busy_until_ - now, 0.0); }

}  // namespace tandem::scheduler
