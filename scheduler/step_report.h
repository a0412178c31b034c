// What a step did with its time.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "scheduler/cost_model.h"

namespace tandem::scheduler {

struct TimeSpan {
  absl::Time begin;
  absl::Time end;
};

// How much of `waits` falls into the union of `others`. Waits do not overlap each other.
absl::Duration Overlap(absl::Span<const TimeSpan> waits, std::vector<TimeSpan> others);

// One frame's round trip on the router's clock. A worker tells only how long the frame waited there and how long it was
// computed; what is left of the round trip is the wire, taken to be as long on the way out as on the way back.
struct FrameTrip {
  int worker = 0;
  absl::Time sent;
  absl::Time reached;  // the worker
  absl::Time started;  // to be computed
  absl::Time finished;
  absl::Time arrived;  // back

  absl::Duration wire() const { return (reached - sent) + (arrived - finished); }
  absl::Duration computed() const { return finished - started; }
};

// Where the worker's times do not fit into the round trip (clocks are coarse) they are shortened.
FrameTrip CentreTrip(int worker, absl::Time sent, absl::Time arrived, absl::Duration queued, absl::Duration computed);

// What the router waited for while it had nothing to do; the parts add up to the waits.
struct WaitParts {
  absl::Duration expert;  // some worker was computing
  absl::Duration wire;    // none was, and some frame was on the wire
  absl::Duration bubble;  // neither: a frame waited for its worker to take it up, or an answer for the router
};
WaitParts SplitWaits(absl::Span<const TimeSpan> waits, absl::Span<const FrameTrip> trips);

// Workers compute frames together and report the time of all for each. The share of what they report, over all workers,
// that is left when every moment of a worker counts once; 1 without trips.
double DistinctShare(absl::Span<const FrameTrip> trips);

// The forward pass of one step; total() is all of it but the few instructions between its parts.
struct StepReport {
  absl::Duration router;      // embedding, attention, gate, dispatch, combine
  absl::Duration shared;      // shared experts
  WaitParts waits;            // the router had nothing to do
  absl::Duration stage_wait;  // nor was anything of it under way: it waited for other pipeline stages
  absl::Duration exposed;     // communication that prolonged the step: ExposedCommunication
  absl::Duration ideal;       // IdealTime
  absl::Duration expert;      // of the slowest worker of every dispatch, computing; hidden or not
  double distinct = 1;        // of `expert`: DistinctShare
  absl::Duration wire;        // all communication, hidden or not: both ways of every dispatch
  int micro_batches = 0;
  std::vector<std::pair<MicroBatchLoad, LayerCost>> layers;  // of each micro-batch, averaged over layers with experts

  absl::Duration total() const { return router + shared + waits.expert + waits.wire + waits.bubble + stage_wait; }
};

// By how much the step would have been shorter if the wire took no time: its waits but for bubbles, less the waits for
// experts that are left when the pipeline runs the same micro-batches at the same costs over a free wire. Not the same
// as waits.wire: where the wire keeps router and workers from working at the same time they do so one after the other,
// and then it is for the wire's sake that the router waits for experts. From zero to report.wire.
//   follows  as for Pipeline, one element for each micro-batch
//   layers   number of layers with experts
absl::Duration ExposedCommunication(const StepReport& report, const std::vector<bool>& follows, int layers,
                                    bool shared_experts);

// What a perfect pipeline (IdealStep) takes for the same micro-batches at the same costs.
absl::Duration IdealTime(const StepReport& report, int layers);

}  // namespace tandem::scheduler
