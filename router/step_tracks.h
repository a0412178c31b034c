// The rows of a router's timeline, and what is drawn on them besides the engine's own work.
#pragma once

#include <vector>

#include "base/trace.h"
#include "router/expert_dispatcher.h"

namespace tandem::router {

//   Router              the engine's thread: steps, and in them every stage of every micro-batch and layer
//   Wire to worker k    frames on their way, out ("dispatch") and back ("combine")
//   Queue of worker k   frames that wait there
//   Worker k            frames that are computed
//
// Only the router's clock is used: a worker's times lie in the middle of the round trip (scheduler::FrameTrip), so they
// are off by half of the difference between the ways out and back.
class StepTracks {
 public:
  StepTracks(trace::Recorder* recorder, int num_workers);

  trace::Recorder* recorder() const { return recorder_; }
  trace::Track router() const { return router_; }

  // `phase`: "prefill", "decode" or "mixed".
  void AddTrip(const FlightLeg& leg, const char* phase, int layer, int micro_batch) const;

 private:
  struct WorkerTracks {
    trace::Track wire = 0;
    trace::Track queue = 0;
    trace::Track compute = 0;
  };

  trace::Recorder* const recorder_;  // may be null
  trace::Track router_ = 0;
  std::vector<WorkerTracks> workers_;
};

}  // namespace tandem::router
