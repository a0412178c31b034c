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
  transport::DispatchFrame frame;            // moved away by sending
};

// Everything one dispatch has under way; made by Start, consumed by Finish.
struct ExpertFlight {
  // Shared with the channels' callbacks, which may outlive a Finish that gave up.
  struct Arrivals {
    explicit Arrivals(size_t n) : results(n, absl::UnknownError("no answer yet")), missing(n) {}

    absl::Mutex mutex;
    std::vector<absl::StatusOr<transport::CombineFrame>> results ABSL_GUARDED_BY(mutex);
    size_t missing ABSL_GUARDED_BY(mutex);
  };

  int layer = 0;
  std::vector<ExpertParcel> parcels;
  std::shared_ptr<Arrivals> arrivals;
};

// Belongs to the engine's thread. One dispatch per Activations may be under way.
class ExpertDispatcher {
 public:
  ExpertDispatcher(const model::Decoder& decoder, WorkerPool& workers, ExpertCounters& counters,
                   absl::Duration dispatch_timeout);

  // Reads a.x, a.topk_ids and sends the frames. Errors: UNAVAILABLE naming the layer and the worker that is missing.
  absl::StatusOr<ExpertFlight> Start(int layer, const model::Activations& a);

  // Waits for all workers and fills a.expert_out. Errors: UNAVAILABLE (a worker was lost), DEADLINE_EXCEEDED, or what
  // the worker said. Workers found gone are reported to the pool.
  absl::Status Finish(ExpertFlight flight, model::Activations& a);

 private:
  absl::Status BuildFrames(int layer, absl::Span<const int32_t> topk_ids, ExpertFlight& flight);

  const model::Decoder& decoder_;
  WorkerPool& workers_;
  ExpertCounters& counters_;
  const absl::Duration dispatch_timeout_;
};

}  // namespace tandem::router
