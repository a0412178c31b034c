// One layer's trip to the experts and back for one micro-batch: dispatch the chosen rows to the workers that hold the
// experts, and bring the outputs home in gate order.
//
//   topk_ids     row 0: 5 2      worker A holds 0-3: rows {0, 1}, pairs (0,2) (1,1)
//   (top_k = 2)  row 1: 1 7      worker B holds 4-7: rows {0, 1}, pairs (0,5) (1,7)
//   expert_out   slot row * top_k + j receives the output of topk_ids[row, j], whoever computed it
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "model/decoder.h"
#include "router/expert_plane.h"
#include "scheduler/step_report.h"

namespace tandem::router {

// Tokens routed to each (layer, expert) since the start. Written by the engine, read by metrics.
class ExpertCounters {
 public:
  ExpertCounters(int num_layers, int num_experts) : num_experts_(num_experts), counts_(num_layers * num_experts) {}
  void Add(int layer, int expert, uint64_t tokens) {
    counts_[layer * num_experts_ + expert].fetch_add(tokens, std::memory_order_relaxed);
  }
  uint64_t Get(int layer, int expert) const {
    return counts_[layer * num_experts_ + expert].load(std::memory_order_relaxed);
  }
  int num_experts() const { return num_experts_; }
  int num_layers() const { return static_cast<int>(counts_.size()) / num_experts_; }

 private:
  const int num_experts_;
  std::vector<std::atomic<uint64_t>> counts_;
};

// What goes to one worker.
struct ExpertParcel {
  int worker = 0;
  std::vector<int32_t> rows;                 // rows of the micro-batch, ascending
  std::vector<transport::ExpertPair> pairs;  // by expert, then row of the parcel
  std::vector<int32_t> slots;                // of each pair: row * top_k + j
};

// What became of one worker's frame.
struct FlightLeg {
  scheduler::FrameTrip trip;
  int64_t rows = 0;
  int64_t pairs = 0;
  int64_t bytes_sent = 0;
  int64_t bytes_received = 0;
};

// A dispatch that has come back.
struct FlightReport {
  std::vector<FlightLeg> legs;  // one for each worker that was asked

  // The longest that any worker computed.
  absl::Duration computed() const;
  // What the last answer took beyond that, but for its waiting on the worker: both ways on the wire.
  absl::Duration wire() const;
};

// Everything one dispatch has under way; made by Start, consumed by Finish.
struct ExpertFlight {
  // Shared with the channels' callbacks, which may outlive the flight.
  struct Arrivals {
    absl::Mutex mutex;
    std::vector<absl::StatusOr<transport::CombineFrame>> results ABSL_GUARDED_BY(mutex);
    std::vector<absl::Time> times ABSL_GUARDED_BY(mutex);  // of their arrival
    std::vector<scheduler::TimeSpan> answered_inline ABSL_GUARDED_BY(mutex);  // by Start's thread, inside Start
    size_t missing ABSL_GUARDED_BY(mutex) = 0;
    std::function<void()> complete;  // called by the one that brings the last answer
  };

  int layer = 0;
  std::vector<ExpertParcel> parcels;
  std::vector<FlightLeg> legs;  // of the parcels
  std::shared_ptr<Arrivals> arrivals;

  // When Start itself computed experts, as those inside the router are.
  std::vector<scheduler::TimeSpan> ComputedInline() const;
};

// Working memory of one micro-batch's dispatches.
struct DispatchBuffers {
  compute::Tensor gathered;  // [max_tokens * workers that a row may go to, DispatchRowElements] wire dtype
  compute::Tensor outputs;   // [max_tokens * top_k, hidden_size] CombineDType
};

// Belongs to the engine's thread. Any number of flights may be under way, each with its own Activations and buffers.
class ExpertDispatcher {
 public:
  ExpertDispatcher(const model::Decoder& decoder, WorkerPool& workers, ExpertCounters& counters,
                   absl::Duration dispatch_timeout);

  // Errors: RESOURCE_EXHAUSTED.
  absl::StatusOr<DispatchBuffers> AllocateBuffers(int64_t max_tokens) const;

  // Reads a.x, a.topk_ids and sends the frames. `complete` is called once all workers have answered or failed, at the
  // latest when the dispatch timeout has passed; on any thread, possibly before Start returns. Not called after an error.
  // Errors: UNAVAILABLE naming the layer and the worker that is missing.
  absl::StatusOr<ExpertFlight> Start(int layer, const model::Activations& a, const DispatchBuffers& buffers,
                                     std::function<void()> complete);

  // For a complete flight: fills a.expert_out. Errors: UNAVAILABLE (a worker was lost), DEADLINE_EXCEEDED, or what the
  // worker said. Workers found gone are reported to the pool.
  absl::StatusOr<FlightReport> Finish(ExpertFlight flight, const DispatchBuffers& buffers, model::Activations& a);

 private:
  absl::Status MakeParcels(int layer, absl::Span<const int32_t> topk_ids, ExpertFlight& flight);
  absl::Status Receive(ExpertFlight& flight, std::vector<absl::StatusOr<transport::CombineFrame>>& results,
                       const DispatchBuffers& buffers, model::Activations& a);

  const model::Decoder& decoder_;
  WorkerPool& workers_;
  ExpertCounters& counters_;
  const absl::Duration dispatch_timeout_;
  // Scratch of MakeParcels.
  std::vector<int32_t> topk_ids_;
  std::vector<int32_t> expert_begin_;
  std::vector<int32_t> by_expert_;
  std::vector<int32_t> row_in_parcel_;
};

}  // namespace tandem::router
