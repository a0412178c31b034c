#include "router/expert_dispatcher.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "compute/wire_rows.h"

namespace tandem::router {

using compute::DType;
using compute::Tensor;
using transport::CombineFrame;
using transport::DispatchFrame;

namespace {

// The flight that the calling thread is about to send.
thread_local const ExpertFlight::Arrivals* starting = nullptr;

}  // namespace

std::vector<scheduler::TimeSpan> ExpertFlight::ComputedInline() const {
  absl::MutexLock lock(&arrivals->mutex);
  return arrivals->answered_inline;
}

ExpertDispatcher::ExpertDispatcher(const model::Decoder& decoder, WorkerPool& workers, ExpertCounters& counters,
                                   absl::Duration dispatch_timeout)
    : decoder_(decoder), workers_(workers), counters_(counters), dispatch_timeout_(dispatch_timeout) {}

absl::Duration FlightReport::computed() const {
  absl::Duration longest;
  for (const FlightLeg& leg : legs) {
    longest = std::max(longest, leg.trip.computed());
  }
  return longest;
}

absl::Duration FlightReport::wire() const {
  const auto last = std::max_element(
      legs.begin(), legs.end(), [](const FlightLeg& a, const FlightLeg& b) { return a.trip.arrived < b.trip.arrived; });
  if (last == legs.end()) {
    return absl::ZeroDuration();
  }
  return std::max(last->trip.wire() + last->trip.computed() - computed(), absl::ZeroDuration());
}

absl::StatusOr<DispatchBuffers> ExpertDispatcher::AllocateBuffers(int64_t max_tokens) const {
  compute::Backend& backend = decoder_.backend();
  const int64_t hidden_size = decoder_.spec().hidden_size;
  const int64_t top_k = decoder_.spec().gate.num_experts_per_tok;
  const int64_t copies = std::min<int64_t>(top_k, workers_.num_workers());
  DispatchBuffers buffers;
  const DType wire = decoder_.dtypes().wire;
  ASSIGN_OR_RETURN(buffers.gathered,
                   backend.Allocate(wire, {max_tokens * copies, compute::DispatchRowElements(wire, hidden_size)}));
  ASSIGN_OR_RETURN(buffers.outputs, backend.Allocate(compute::CombineDType(wire), {max_tokens * top_k, hidden_size}));
  return buffers;
}

absl::Status ExpertDispatcher::MakeParcels(int layer, absl::Span<const int32_t> topk_ids, ExpertFlight& flight) {
  const int num_experts = decoder_.spec().gate.num_experts;
  const int32_t top_k = decoder_.spec().gate.num_experts_per_tok;
  const size_t num_rows = topk_ids.size() / top_k;
  // Slots by expert, then row: a counting sort.
  expert_begin_.assign(num_experts + 1, 0);
  for (const int32_t expert : topk_ids) {
    ++expert_begin_[expert + 1];
  }
  for (int expert = 0; expert < num_experts; ++expert) {
    if (expert_begin_[expert + 1] > 0) {
      counters_.Add(layer, expert, static_cast<uint64_t>(expert_begin_[expert + 1]));
    }
    expert_begin_[expert + 1] += expert_begin_[expert];
  }
  by_expert_.resize(topk_ids.size());
  std::vector<int32_t> parcel_of(workers_.num_workers(), -1);
  row_in_parcel_.assign(num_rows * workers_.num_workers(), -1);
  for (size_t slot = 0; slot < topk_ids.size(); ++slot) {
    const int32_t expert = topk_ids[slot];
    by_expert_[expert_begin_[expert]++] = static_cast<int32_t>(slot);
    const int worker = workers_.placement().WorkersOf(layer, expert)[0];
    if (parcel_of[worker] < 0) {
      if (!workers_.IsReady(worker)) {
        return absl::UnavailableError(absl::StrCat("layer ", layer, ", expert ", expert, ": worker ",
                                                   workers_.channel(worker).name(), " is not connected"));
      }
      parcel_of[worker] = static_cast<int32_t>(flight.parcels.size());
      flight.parcels.emplace_back().worker = worker;
    }
    ExpertParcel& parcel = flight.parcels[parcel_of[worker]];
    int32_t& row = row_in_parcel_[worker * num_rows + slot / top_k];
    if (row < 0) {
      row = static_cast<int32_t>(parcel.rows.size());
      parcel.rows.push_back(static_cast<int32_t>(slot) / top_k);
    }
  }
  for (const int32_t slot : by_expert_) {
    const int32_t expert = topk_ids[slot];
    const int worker = workers_.placement().WorkersOf(layer, expert)[0];
    ExpertParcel& parcel = flight.parcels[parcel_of[worker]];
    parcel.pairs.push_back({row_in_parcel_[worker * num_rows + slot / top_k], expert});
    parcel.slots.push_back(slot);
  }
  return absl::OkStatus();
}

absl::StatusOr<ExpertFlight> ExpertDispatcher::Start(int layer, const model::Activations& a,
                                                     const DispatchBuffers& buffers, std::function<void()> complete) {
  compute::Backend& backend = decoder_.backend();
  const int64_t hidden_size = decoder_.spec().hidden_size;
  ExpertFlight flight;
  flight.layer = layer;
  topk_ids_.resize(a.num_tokens * decoder_.spec().gate.num_experts_per_tok);
  backend.Download(a.topk_ids.Rows(0, a.num_tokens), compute::WritableBytesOf(absl::MakeSpan(topk_ids_)));
  RETURN_IF_ERROR(backend.Record()->Wait());
  RETURN_IF_ERROR(MakeParcels(layer, topk_ids_, flight));

  const absl::Time deadline = absl::Now() + dispatch_timeout_;
  std::vector<DispatchFrame> frames(flight.parcels.size());
  int64_t gathered_rows = 0;
  for (size_t i = 0; i < frames.size(); ++i) {
    const ExpertParcel& parcel = flight.parcels[i];
    const int64_t num_rows = static_cast<int64_t>(parcel.rows.size());
    DispatchFrame& frame = frames[i];
    frame.placement_epoch = workers_.placement().epoch();
    frame.layer = layer;
    frame.num_rows = static_cast<int32_t>(num_rows);
    frame.hidden_size = static_cast<int32_t>(hidden_size);
    frame.dtype = decoder_.dtypes().wire;
    frame.pairs = parcel.pairs;
    frame.deadline = deadline;
    const Tensor gathered = buffers.gathered.Rows(gathered_rows, num_rows);
    gathered_rows += num_rows;
    backend.GatherRows(a.x.Rows(0, a.num_tokens), parcel.rows, gathered);
    frame.rows = workers_.channel(parcel.worker).LendRows(parcel.pairs.size(), gathered.size_bytes());
    backend.Download(gathered, frame.rows.mutable_bytes());
    flight.legs.push_back({.trip = {.worker = parcel.worker},
                           .rows = num_rows,
                           .pairs = static_cast<int64_t>(parcel.pairs.size()),
                           .bytes_sent = static_cast<int64_t>(gathered.size_bytes())});
  }
  RETURN_IF_ERROR(backend.Record()->Wait());

  flight.arrivals = std::make_shared<ExpertFlight::Arrivals>();
  {
    absl::MutexLock lock(&flight.arrivals->mutex);
    flight.arrivals->results.assign(frames.size(), absl::UnknownError("no answer yet"));
    flight.arrivals->times.resize(frames.size());
    flight.arrivals->missing = frames.size();
  }
  flight.arrivals->complete = std::move(complete);
  starting = flight.arrivals.get();
  for (size_t i = 0; i < frames.size(); ++i) {
    const absl::Time sent = absl::Now();
    flight.legs[i].trip.sent = sent;
    workers_.channel(flight.parcels[i].worker)
        .Dispatch(std::move(frames[i]), [arrivals = flight.arrivals, i, sent](absl::StatusOr<CombineFrame> result) {
          {
            absl::MutexLock lock(&arrivals->mutex);
            arrivals->results[i] = std::move(result);
            arrivals->times[i] = absl::Now();
            if (starting == arrivals.get()) {
              arrivals->answered_inline.push_back({sent, arrivals->times[i]});
            }
            if (--arrivals->missing > 0) {
              return;
            }
          }
          arrivals->complete();
        });
  }
  starting = nullptr;
  return flight;
}

absl::StatusOr<FlightReport> ExpertDispatcher::Finish(ExpertFlight flight, const DispatchBuffers& buffers,
                                                      model::Activations& a) {
  std::vector<absl::StatusOr<CombineFrame>> results;
  {
    absl::MutexLock lock(&flight.arrivals->mutex);
    TANDEM_CHECK(flight.arrivals->missing == 0, "layer ", flight.layer, " is not complete");
    results = std::move(flight.arrivals->results);
    for (size_t i = 0; i < results.size(); ++i) {
      flight.legs[i].trip.arrived = flight.arrivals->times[i];
    }
  }
  RETURN_IF_ERROR(Receive(flight, results, buffers, a));
  return FlightReport{std::move(flight.legs)};
}

absl::Status ExpertDispatcher::Receive(ExpertFlight& flight, std::vector<absl::StatusOr<CombineFrame>>& results,
                                       const DispatchBuffers& buffers, model::Activations& a) {
  compute::Backend& backend = decoder_.backend();
  absl::Status first_error;
  int64_t received_rows = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    const ExpertParcel& parcel = flight.parcels[i];
    const int64_t pairs = static_cast<int64_t>(parcel.pairs.size());
    const Tensor outputs = buffers.outputs.Rows(received_rows, pairs);
    received_rows += pairs;
    absl::Status error = results[i].status();
    if (absl::IsUnavailable(error)) {
      workers_.ReportLost(parcel.worker, error);
    }
    if (error.ok() && static_cast<int64_t>(results[i]->outputs.size()) != outputs.size_bytes()) {
      error = absl::InternalError(
          absl::StrCat("sent ", results[i]->outputs.size(), " bytes, expected ", outputs.size_bytes()));
    }
    if (!error.ok()) {
      first_error.Update(
          Annotate(error, absl::StrCat("layer ", flight.layer, ", worker ", workers_.channel(parcel.worker).name())));
      continue;
    }
    backend.Upload(results[i]->outputs.bytes(), outputs);
    backend.ScatterRows(outputs, parcel.slots, a.expert_out);
    FlightLeg& leg = flight.legs[i];
    leg.bytes_received = static_cast<int64_t>(outputs.size_bytes());
    leg.trip = scheduler::CentreTrip(parcel.worker, leg.trip.sent, leg.trip.arrived, results[i]->queue_time,
                                     results[i]->compute_time);
  }
  RETURN_IF_ERROR(first_error);
  return backend.Record()->Wait();  // the frames' bytes must stay until they were read
}

}  // namespace tandem::router
