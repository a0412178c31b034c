// The expert workers of a simulated service, as one group that is as slow as its busiest member. They take frames as
// expert_worker/expert_executor.h does: the oldest, together with all that wait for the same layer.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "scheduler/planner/part_costs.h"

namespace tandem::scheduler {

struct SimulatedFrame {
  int router = 0;
  int micro_batch = 0;
  int layer = 0;
  double tokens = 0;
};

// One direction of somebody's link: frames behind each other.
class SimulatedLinkEnd {
 public:
  // When the last byte has passed of a frame that wants to start at `now` and takes so long.
  double Pass(double now, double seconds);
  double busy() const { return busy_; }

 private:
  double free_at_ = 0;
  double busy_ = 0;
};

class SimulatedWorkers {
 public:
  // `costs` must outlive it. `max_pairs`: of one grouped call.
  SimulatedWorkers(const PartCosts& costs, int top_k, int max_pairs)
      : costs_(costs), top_k_(top_k), max_pairs_(max_pairs) {}

  void Arrive(const SimulatedFrame& frame) { waiting_.push_back(frame); }

  // Begins to compute what is to come next, and says how long it takes; 0 when busy or out of work.
  double Start(double now);
  // What Start began is done.
  std::vector<SimulatedFrame> Finish();

  const std::vector<SimulatedFrame>& computing() const { return computing_; }
  // Seconds of computing up to `now`.
  double busy(double now) const;

 private:
  const PartCosts& costs_;
  const int top_k_;
  const int max_pairs_;
  std::deque<SimulatedFrame> waiting_;     // by arrival
  std::vector<SimulatedFrame> computing_;  // of one layer
  int last_layer_ = -1;                    // that was computed
  double busy_until_ = 0;
  double busy_ = 0;
};

}  // namespace tandem::scheduler
