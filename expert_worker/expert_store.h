// The experts that a worker holds, ready to compute with.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/layer_expert.h"
#include "compute/backend.h"

namespace tandem::expert_worker {

// Reads one expert from the checkpoint and packs it for the backend. May be called from several threads at once.
// Errors: INVALID_ARGUMENT for an expert that the model lacks, DATA_LOSS for a broken checkpoint, RESOURCE_EXHAUSTED.
using ExpertLoader = std::function<absl::StatusOr<compute::MlpWeightsPtr>(int layer, int expert)>;

// Thread-safe.
class ExpertStore {
 public:
  explicit ExpertStore(ExpertLoader loader) : loader_(std::move(loader)) {}

  // Loads what is not held yet; returns when all of them are held. An expert that several threads ask for is loaded
  // once. Errors: the loader's, naming the expert; what was loaded before stays.
  absl::Status Load(const std::vector<LayerExpert>& experts);

  // Drops experts; frames being computed keep what they use. Unknown ones are ignored.
  void Unload(const std::vector<LayerExpert>& experts);

  // Null if the expert is not held.
  compute::MlpWeightsPtr Find(const LayerExpert& id) const;

  int64_t num_experts() const;
  int64_t weights_bytes() const;

 private:
  // True if the calling thread is to load `id`; false once another thread has loaded it.
  bool Claim(const LayerExpert& id);

  const ExpertLoader loader_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<LayerExpert, compute::MlpWeightsPtr> experts_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<LayerExpert> loading_ ABSL_GUARDED_BY(mutex_);
  int64_t weights_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tandem::expert_worker
