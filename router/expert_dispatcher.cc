#include "router/expert_dispatcher.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"

namespace tandem::router {

using compute::DType;
using compute::Tensor;
using transport::CombineFrame;
using transport::DispatchFrame;
using transport::ExpertPair;
using transport::FrameBuffer;

ExpertDispatcher::ExpertDispatcher(const model::Decoder& decoder, WorkerPool& workers, ExpertCounters& counters,
                                   absl::Duration dispatch_timeout)
    : decoder_(decoder), workers_(workers), counters_(counters), dispatch_timeout_(dispatch_timeout) {}

absl::Status ExpertDispatcher::BuildFrames(int layer, absl::Span<const int32_t> topk_ids,
                                           ExpertFlight& flight) {
  const int num_experts = decoder_.spec().gate.num_experts;
  const int32_t top_k = decoder_.spec().gate.num_experts_per_tok;
  std::vector<int> parcel_of(workers_.num_workers(), -1);
  std::vector<uint64_t> tokens(num_experts, 0);
  for (size_t slot = 0; slot < topk_ids.size(); ++slot) {
    const int32_t expert = topk_ids[slot];
    const int32_t row = static_cast<int32_t>(slot) / top_k;
    const int worker = workers_.placement().WorkersOf(layer, expert)[0];
    int& index = parcel_of[worker];
    if (index < 0) {
      if (!workers_.IsReady(worker)) {
        return absl::UnavailableError(absl::StrCat("layer ", layer, ", expert ", expert, ": worker ",
                                                   workers_.channel(worker).name(), " is not connected"));
      }
      index = static_cast<int>(flight.parcels.size());
      flight.parcels.emplace_back().worker = worker;
    }
    ExpertParcel& parcel = flight.parcels[index];
    if (parcel.rows.empty() || parcel.rows.back() != row) {
      parcel.rows.push_back(row);
    }
    parcel.pairs.push_back({static_cast<int32_t>(parcel.rows.size()) - 1, expert});
    parcel.slots.push_back(static_cast<int32_t>(slot));
    ++tokens[expert];
  }
  for (int expert = 0; expert < num_experts; ++expert) {
    if (tokens[expert] > 0) {
      counters_.Add(layer, expert, tokens[expert]);
    }
  }
  for (ExpertParcel& parcel : flight.parcels) {
    std::vector<int32_t> order(parcel.pairs.size());
    for (size_t i = 0; i < order.size(); ++i) {
      order[i] = static_cast<int32_t>(i);
    }
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return parcel.pairs[a].expert < parcel.pairs[b].expert;
    });
    std::vector<ExpertPair> pairs;
    std::vector<int32_t> slots;
    for (const int32_t i : order) {
      pairs.push_back(parcel.pairs[i]);
      slots.push_back(parcel.slots[i]);
    }
    parcel.pairs = std::move(pairs);
    parcel.slots = std::move(slots);
  }
  return absl::OkStatus();
}

absl::StatusOr<ExpertFlight> ExpertDispatcher::Start(int layer, const model::Activations& a) {
  compute::Backend& backend = decoder_.backend();
  const int64_t hidden_size = decoder_.spec().hidden_size;
  const DType wire = decoder_.dtypes().wire;
  ExpertFlight flight;
  flight.layer = layer;

  std::vector<int32_t> topk_ids(a.num_tokens * decoder_.spec().gate.num_experts_per_tok);
  backend.Download(a.topk_ids.Rows(0, a.num_tokens), compute::WritableBytesOf(absl::MakeSpan(topk_ids)));
  RETURN_IF_ERROR(backend.Record()->Wait());
  RETURN_IF_ERROR(BuildFrames(layer, topk_ids, flight));

  const absl::Time deadline = absl::Now() + dispatch_timeout_;
  for (ExpertParcel& parcel : flight.parcels) {
    const int64_t num_rows = static_cast<int64_t>(parcel.rows.size());
    DispatchFrame& frame = parcel.frame;
    frame.placement_epoch = workers_.placement().epoch();
    frame.layer = layer;
    frame.num_rows = static_cast<int32_t>(num_rows);
    frame.hidden_size = static_cast<int32_t>(hidden_size);
    frame.dtype = wire;
    frame.pairs = parcel.pairs;
    frame.deadline = deadline;
    ASSIGN_OR_RETURN(const Tensor gathered, backend.Allocate(wire, {num_rows, hidden_size}));
    backend.GatherRows(a.x.Rows(0, a.num_tokens), parcel.rows, gathered);
    frame.rows = FrameBuffer(gathered.size_bytes());
    backend.Download(gathered, frame.rows.mutable_bytes());
  }
  RETURN_IF_ERROR(backend.Record()->Wait());

  flight.arrivals = std::make_shared<ExpertFlight::Arrivals>(flight.parcels.size());
  for (size_t i = 0; i < flight.parcels.size(); ++i) {
    ExpertParcel& parcel = flight.parcels[i];
    workers_.channel(parcel.worker)
        .Dispatch(std::move(parcel.frame), [arrivals = flight.arrivals, i](absl::StatusOr<CombineFrame> result) {
          absl::MutexLock lock(&arrivals->mutex);
          arrivals->results[i] = std::move(result);
          --arrivals->missing;
        });
  }
  return flight;
}

absl::Status ExpertDispatcher::Finish(ExpertFlight flight, model::Activations& a) {
  compute::Backend& backend = decoder_.backend();
  const int64_t hidden_size = decoder_.spec().hidden_size;
  std::vector<absl::StatusOr<CombineFrame>> results;
  {
    ExpertFlight::Arrivals& arrivals = *flight.arrivals;
    absl::MutexLock lock(&arrivals.mutex);
    const auto complete = [&arrivals]() ABSL_SHARED_LOCKS_REQUIRED(arrivals.mutex) { return arrivals.missing == 0; };
    arrivals.mutex.Await(absl::Condition(&complete));  // channels answer by the frame's deadline
    results = std::move(arrivals.results);
  }
  absl::Status first_error;
  for (size_t i = 0; i < results.size(); ++i) {
    const ExpertParcel& parcel = flight.parcels[i];
    if (!results[i].ok()) {
      const absl::Status& error = results[i].status();
      if (absl::IsUnavailable(error)) {
        workers_.ReportLost(parcel.worker, error);
      }
      first_error.Update(Annotate(
          error, absl::StrCat("layer ", flight.layer, ", worker ", workers_.channel(parcel.worker).name())));
      continue;
    }
    const int64_t pairs = static_cast<int64_t>(parcel.pairs.size());
    ASSIGN_OR_RETURN(const Tensor outputs, backend.Allocate(decoder_.dtypes().wire, {pairs, hidden_size}));
    if (static_cast<int64_t>(results[i]->outputs.size()) != outputs.size_bytes()) {
      return absl::InternalError(absl::StrCat("worker ", workers_.channel(parcel.worker).name(), " sent ",
                                              results[i]->outputs.size(), " bytes, expected ", outputs.size_bytes()));
    }
    backend.Upload(results[i]->outputs.bytes(), outputs);
    backend.ScatterRows(outputs, parcel.slots, a.expert_out);
    RETURN_IF_ERROR(backend.Record()->Wait());
  }
  return first_error;
}

}  // namespace tandem::router
