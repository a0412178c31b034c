// A router of a simulated service: the engine's decisions (router/engine.h) without its tensors. Admission, batching,
// preemption, the number of micro-batches and how a step is cut are the very policy code; blocks are counted, not kept.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "scheduler/batcher.h"
#include "scheduler/fair_queue.h"
#include "scheduler/micro_batch_chooser.h"
#include "scheduler/planner/part_costs.h"

namespace tandem::scheduler {

struct SimulatedRequest {
  uint64_t id = 0;
  double arrived = 0;
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  int64_t cached_prompt_tokens = 0;  // found in the prefix cache
  // Token times, filled in by the router.
  int64_t generated = 0;
  double first_token = 0;
  double last_token = 0;
};

// A step that was formed and is to be run.
struct SimulatedStepWork {
  std::vector<MicroBatchWork> micro_batches;
  std::vector<bool> follows;
  int64_t tokens = 0;
  int64_t prompt_tokens = 0;
  int64_t sequences = 0;  // that take part
  int64_t rows = 0;       // that go through the head
};

struct TokenGap {
  double seconds = 0;         // since the sequence's token before
  bool first = false;         // of its request: since the request's arrival
  int64_t prompt_tokens = 0;  // with the first token
};

// Not thread-safe. Times are the caller's.
class SimulatedRouter {
 public:
  SimulatedRouter(PipelineShape shape, const ClusterLayout& layout, int64_t kv_blocks);

  void Submit(SimulatedRequest request);
  // A sequence in the middle of its answer, its tokens so far in the cache. The caller sees to it that it fits.
  void Resume(SimulatedRequest request, double last_token);

  // Admits who waits and forms the next step. Nothing while there is nothing to compute.
  std::optional<SimulatedStepWork> FormStep();

  // The step is over at `now`: sequences that are complete get a token. Appends the gaps, and the requests that are
  // done.
  void FinishStep(double now, std::vector<TokenGap>& gaps, std::vector<SimulatedRequest>& done);

  // For the online cost model: what the parts of the step took.
  void Learn(const SimulatedStepWork& step, double seconds,
             const std::vector<std::pair<MicroBatchLoad, LayerCost>>& layers);

  int64_t running() const { return static_cast<int64_t>(running_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size() + preempted_.size()); }
  int64_t preemptions() const { return preemptions_; }
  // Steps after which somebody waited although fewer sequences ran than may: blocks were short.
  int64_t steps_short_of_blocks() const { return steps_short_of_blocks_; }

 private:
  struct Sequence {
    SimulatedRequest request;
    int64_t cached = 0;
    int64_t blocks = 0;
    int64_t tokens() const { return request.prompt_tokens + request.generated; }
    int64_t pending() const { return tokens() - cached; }
    bool decoding() const { return request.generated > 0 && pending() == 1; }
  };
  using SequencePtr = std::unique_ptr<Sequence>;

  void Admit();
  bool TryAdmit();
  void Preempt(size_t index);
  std::vector<StepItem> Plan();
  void AddItem(const StepItem& item, std::vector<int64_t>& position, MicroBatchWork& work) const;
  SequenceView ViewOf(const Sequence& sequence) const;
  std::vector<SequenceView> Views() const;
  BatchLimits Limits() const;
  void Release(Sequence& sequence);

  const ClusterLayout layout_;
  int64_t free_blocks_;
  FairQueue queue_;
  MicroBatchChooser chooser_;
  std::map<uint64_t, SequencePtr> waiting_;  // by id; queue_ knows who is next
  std::deque<SequencePtr> preempted_;        // by arrival; they come back first
  std::vector<SequencePtr> running_;         // by arrival
  std::vector<StepItem> plan_;               // of the step under way
  int64_t preemptions_ = 0;
  int64_t steps_short_of_blocks_ = 0;
};

}  // namespace tandem::scheduler
