#include "expert_worker/expert_store.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::expert_worker {

bool ExpertStore::Claim(const LayerExpert& id) {
  absl::MutexLock lock(&mutex_);
  const auto not_loading = [this, &id]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !loading_.contains(id); };
  mutex_.Await(absl::Condition(&not_loading));
  return !experts_.contains(id) && loading_.insert(id).second;
}

absl::Status ExpertStore::Load(const std::vector<LayerExpert>& experts) {
  for (const LayerExpert& id : experts) {
    if (!Claim(id)) {
      continue;
    }
    absl::StatusOr<compute::MlpWeightsPtr> weights = loader_(id.layer, id.expert);
    {
      absl::MutexLock lock(&mutex_);
      loading_.erase(id);
      if (weights.ok()) {
        weights_bytes_ += (*weights)->size_bytes();
        experts_.emplace(id, *weights);
      }
    }
    RETURN_IF_ERROR(Annotate(weights.status(), absl::StrCat("layer ", id.layer, ", expert ", id.expert)));
  }
  return absl::OkStatus();
}

void ExpertStore::Unload(const std::vector<LayerExpert>& experts) {
  std::vector<compute::MlpWeightsPtr> dropped;  // freed without the lock
  absl::MutexLock lock(&mutex_);
  for (const LayerExpert& id : experts) {
    if (auto node = experts_.extract(id); !node.empty()) {
      weights_bytes_ -= node.mapped()->size_bytes();
      dropped.push_back(std::move(node.mapped()));
    }
  }
}

compute::MlpWeightsPtr ExpertStore::Find(const LayerExpert& id) const {
  absl::MutexLock lock(&mutex_);
  const auto it = experts_.find(id);
  return it == experts_.end() ? nullptr : it->second;
}

int64_t ExpertStore::num_experts() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int64_t>(experts_.size());
}

int64_t ExpertStore::weights_bytes() const {
  absl::MutexLock lock(&mutex_);
  return weights_bytes_;
}

}  // namespace tandem::expert_worker
