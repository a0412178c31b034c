// Into how many micro-batches a step is cut. Cutting hides the wire and lets router and workers work at the same time,
// but small micro-batches read weights more often: it can lose. So it is predicted, from costs that are learned online,
// and the prediction is corrected by what steps of that size and cut really took.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "scheduler/cost_model.h"
#include "scheduler/micro_batches.h"
#include "scheduler/pipeline.h"
#include "scheduler/stage_layout.h"

namespace tandem::scheduler {

inline constexpr int kMaxMicroBatches = 8;

// Pure but for what it has learned; not thread-safe.
class MicroBatchChooser {
 public:
  // With several pipeline stages, steps are those of all of them, and the others are taken to cost what this one does.
  explicit MicroBatchChooser(PipelineShape shape, StageLayout stages = {})
      : shape_(std::move(shape)), stages_(stages) {}

  // 1 … kMaxMicroBatches. Steps of a kind (size class, with or without prompts) that were not seen before try the cuts
  // once each, m = 1 first; then the best by corrected prediction is taken, which has to be 1 % better than m = 1. Now
  // and then a step tries another one that may be as good: what is known of it may come from a moment when the machine
  // was slow. `prompt_tokens` of the `tokens` are prompt chunks, which stand behind the decodes (CutStep).
  int Choose(int64_t tokens, int64_t prompt_tokens);

  // What the step that Choose was last asked about really took, and what each layer of its micro-batches cost.
  void Observe(int64_t tokens, int64_t prompt_tokens, int micro_batches, double seconds,
               absl::Span<const std::pair<MicroBatchLoad, LayerCost>> layers);

  // Seconds of a step that is cut in m, by the learned costs, without correction.
  double Predict(int64_t tokens, int64_t prompt_tokens, int m) const;

  const CostModel& costs() const { return costs_; }

 private:
  // What is known of one kind of step and cut.
  struct Record {
    int samples = 0;
    double ratio = 1;    // measured / predicted
    int last_round = 0;  // of choosing, in which it was tried
  };
  using Key = std::pair<int, bool>;  // size class, has prompt tokens

  // What is known of one kind of step. A choice is kept for a while: making it takes some ten microseconds.
  struct Kind {
    std::map<int, Record> cuts;  // by m
    int chosen = 0;
    int uses_left = 0;
    int rounds = 0;  // of choosing
  };

  // Of the cuts other than the best the one to be tried again, which was not for the longest time; 0: none is near
  // enough.
  static int Challenger(Kind& kind, const std::map<int, double>& seconds, int best);
  double SimulateStaged(const std::vector<bool>& follows, absl::Span<const LayerCost> costs) const;
  static Key KeyOf(int64_t tokens, int64_t prompt_tokens);

  const PipelineShape shape_;
  const StageLayout stages_;
  CostModel costs_;
  std::map<Key, Kind> kinds_;
};

}  // namespace tandem::scheduler
