// What a worker counts. The code calls verbs, whoever exports metrics reads the numbers; both at any time, on any
// thread. Times are in microseconds; numbers only grow.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "base/layer_expert.h"

namespace tandem::expert_worker {

class ExpertProbe {
 public:
  ExpertProbe(int num_layers, int num_experts)
      : num_layers_(num_layers), num_experts_(num_experts), tokens_(static_cast<size_t>(num_layers) * num_experts) {}

  // Frames that were turned away at once, and those that came to their turn after their deadline.
  void Rejected() { Add(rejected_frames_, 1); }
  void Expired() { Add(expired_frames_, 1); }
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
  void Routed(const LayerExpert& id, int64_t tokens) {
    if (Has(id)) {
      Add(tokens_[Index(id)], tokens);
    }
  }

  int num_layers() const { return num_layers_; }
  int num_experts() const { return num_experts_; }
  int64_t tokens(const LayerExpert& id) const { return Has(id) ? Get(tokens_[Index(id)]) : 0; }
  int64_t rejected_frames() const { return Get(rejected_frames_); }
  int64_t expired_frames() const { return Get(expired_frames_); }
  int64_t batches() const { return Get(batches_); }
  int64_t frames() const { return Get(frames_); }
  int64_t rows() const { return Get(rows_); }
  int64_t pairs() const { return Get(pairs_); }
  int64_t compute_us() const { return Get(compute_us_); }
  int64_t queue_us() const { return Get(queue_us_); }

 private:
  using Counter = std::atomic<int64_t>;
  static void Add(Counter& counter, int64_t n) { counter.fetch_add(n, std::memory_order_relaxed); }
  static int64_t Get(const Counter& counter) { return counter.load(std::memory_order_relaxed); }

  bool Has(const LayerExpert& id) const {
    return id.layer >= 0 && id.layer < num_layers_ && id.expert >= 0 && id.expert < num_experts_;
  }
  size_t Index(const LayerExpert& id) const { return static_cast<size_t>(id.layer) * num_experts_ + id.expert; }

  const int num_layers_;
  const int num_experts_;
  std::vector<Counter> tokens_;
  Counter rejected_frames_ = 0;
  Counter expired_frames_ = 0;
  Counter batches_ = 0;
  Counter frames_ = 0;
  Counter rows_ = 0;
  Counter pairs_ = 0;
  Counter compute_us_ = 0;
  Counter queue_us_ = 0;
};

}  // namespace tandem::expert_worker
