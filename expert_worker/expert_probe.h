// What a worker counts, over all and for each layer and expert. The code calls verbs, whoever exports metrics reads the
// numbers; both at any time, on any thread. Times are in microseconds; numbers only grow.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "base/layer_expert.h"
#include "transport/expert_channel.h"

namespace tandem::expert_worker {

class ExpertProbe {
 public:
  using Counter = std::atomic<int64_t>;

  struct Layer {
    Counter frames = 0;
    Counter frame_experts = 0;  // distinct experts of each frame, added up
    Counter batches = 0;
    Counter batch_experts = 0;  // distinct experts of each batch: how often an expert's weights were read
    Counter tokens = 0;         // (row, expert) pairs
  };

  ExpertProbe(int num_layers, int num_experts)
      : num_layers_(num_layers),
        num_experts_(num_experts),
        layers_(static_cast<size_t>(num_layers)),
        tokens_(static_cast<size_t>(num_layers) * num_experts) {}

  // Frames that were turned away at once; those that came to their turn after their deadline, or after their router had
  // gone.
  void Rejected() { Add(rejected_frames_, 1); }
  void Expired() { Add(expired_frames_, 1); }
  void Abandoned() { Add(abandoned_frames_, 1); }
  // A frame came to its turn.
  void Waited(absl::Duration queue_time) { Add(queue_us_, absl::ToInt64Microseconds(queue_time)); }
  // `frames` frames were computed in one go.
  void Computed(int64_t frames, int64_t rows, int64_t pairs, absl::Duration compute_time) {
    Add(batches_, 1);
    Add(frames_, frames);
    Add(rows_, rows);
    Add(pairs_, pairs);
    Add(compute_us_, absl::ToInt64Microseconds(compute_time));
  }
  // Of a batch just computed: each frame's number of distinct experts, and the tokens of each expert.
  void FrameOf(int layer, int64_t experts) {
    if (Layer* counters = At(layer)) {
      Add(counters->frames, 1);
      Add(counters->frame_experts, experts);
    }
  }
  void BatchOf(int layer, int64_t experts) {
    if (Layer* counters = At(layer)) {
      Add(counters->batches, 1);
      Add(counters->batch_experts, experts);
    }
  }
  void Routed(const LayerExpert& id, int64_t tokens) {
    if (Has(id)) {
      Add(tokens_[Index(id)], tokens);
      Add(layers_[static_cast<size_t>(id.layer)].tokens, tokens);
    }
  }

  int num_layers() const { return num_layers_; }
  int num_experts() const { return num_experts_; }
  // Of the layers that have computed something.
  std::vector<transport::LayerStatistics> Statistics() const {
    std::vector<transport::LayerStatistics> all;
    for (int32_t layer = 0; layer < num_layers_; ++layer) {
      const Layer& counters = layers_[static_cast<size_t>(layer)];
      if (Get(counters.frames) == 0) continue;
      all.push_back({.layer = layer,
                     .frames = Get(counters.frames),
                     .frame_experts = Get(counters.frame_experts),
                     .batches = Get(counters.batches),
                     .batch_experts = Get(counters.batch_experts)});
      for (int32_t expert = 0; expert < num_experts_; ++expert) {
        all.back().expert_tokens.push_back(tokens({layer, expert}));
      }
    }
    return all;
  }

  // `index` is below num_layers().
  const Layer& layer(int index) const { return layers_[static_cast<size_t>(index)]; }
  int64_t tokens(const LayerExpert& id) const { return Has(id) ? Get(tokens_[Index(id)]) : 0; }
  int64_t rejected_frames() const { return Get(rejected_frames_); }
  int64_t expired_frames() const { return Get(expired_frames_); }
  int64_t abandoned_frames() const { return Get(abandoned_frames_); }
  int64_t batches() const { return Get(batches_); }
  int64_t frames() const { return Get(frames_); }
  int64_t rows() const { return Get(rows_); }
  int64_t pairs() const { return Get(pairs_); }
  int64_t compute_us() const { return Get(compute_us_); }
  int64_t queue_us() const { return Get(queue_us_); }

 private:
  static void Add(Counter& counter, int64_t n) { counter.fetch_add(n, std::memory_order_relaxed); }
  static int64_t Get(const Counter& counter) { return counter.load(std::memory_order_relaxed); }

  Layer* At(int layer) { return layer >= 0 && layer < num_layers_ ? &layers_[static_cast<size_t>(layer)] : nullptr; }
  bool Has(const LayerExpert& id) const {
    return id.layer >= 0 && id.layer < num_layers_ && id.expert >= 0 && id.expert < num_experts_;
  }
  size_t Index(const LayerExpert& id) const { return static_cast<size_t>(id.layer) * num_experts_ + id.expert; }

  const int num_layers_;
  const int num_experts_;
  std::vector<Layer> layers_;
  std::vector<Counter> tokens_;
  Counter rejected_frames_ = 0;
  Counter expired_frames_ = 0;
  Counter abandoned_frames_ = 0;
  Counter batches_ = 0;
  Counter frames_ = 0;
  Counter rows_ = 0;
  Counter pairs_ = 0;
  Counter compute_us_ = 0;
  Counter queue_us_ = 0;
};

}  // namespace tandem::expert_worker
