#include "router/step_tracks.h"

#include "absl/strings/str_cat.h"

namespace tandem::router {

StepTracks::StepTracks(trace::Recorder* recorder, int num_workers) : recorder_(recorder), workers_(num_workers) {
  if (recorder == nullptr) {
    return;
  }
  router_ = recorder->AddTrack("Router");
  for (int i = 0; i < num_workers; ++i) {
    workers_[i].wire = recorder->AddTrack(absl::StrCat("Wire to worker ", i), trace::TrackKind::kParallel);
    workers_[i].queue = recorder->AddTrack(absl::StrCat("Queue of worker ", i), trace::TrackKind::kParallel);
    workers_[i].compute = recorder->AddTrack(absl::StrCat("Worker ", i), trace::TrackKind::kParallel);
  }
}

void StepTracks::AddTrip(const FlightLeg& leg, const char* phase, int layer, int micro_batch) const {
  if (recorder_ == nullptr || !recorder_->recording()) {
    return;
  }
  const WorkerTracks& tracks = workers_[leg.trip.worker];
  const scheduler::FrameTrip& trip = leg.trip;
  const trace::Arg in_layer = {"layer", layer};
  const trace::Arg in_micro_batch = {"micro_batch", micro_batch};
  recorder_->Add(tracks.wire, "dispatch", phase, trip.sent, trip.reached,
                 {in_layer, in_micro_batch, {"rows", leg.rows}, {"bytes", leg.bytes_sent}});
  if (trip.started > trip.reached) {
    recorder_->Add(tracks.queue, "queue", phase, trip.reached, trip.started, {in_layer, in_micro_batch});
  }
  recorder_->Add(tracks.compute, "experts", phase, trip.started, trip.finished,
                 {in_layer, in_micro_batch, {"rows", leg.rows}, {"pairs", leg.pairs}});
  recorder_->Add(tracks.wire, "combine", phase, trip.finished, trip.arrived,
                 {in_layer, in_micro_batch, {"pairs", leg.pairs}, {"bytes", leg.bytes_received}});
}

}  // namespace tandem::router
