#include "scheduler/pipeline.h"

#include <utility>

namespace tandem::scheduler {

Pipeline::Pipeline(const PipelineShape& shape, std::vector<bool> follows)
    : shape_(shape),
      follows_(std::move(follows)),
      states_(follows_.size()),
      unfinished_(static_cast<int32_t>(follows_.size())) {}

bool Pipeline::CanAdvance(int32_t i) const {
  const State& state = states_[i];
  const bool last = state.next_layer == static_cast<int32_t>(shape_.experts.size());
  return !state.finished && !state.away && (last || !follows_[i] || states_[i - 1].next_layer > state.next_layer);
}

bool Pipeline::Before(int32_t a, int32_t b, bool workers_idle) const {
  if (workers_idle && states_[a].owes_shared != states_[b].owes_shared) {
    return states_[b].owes_shared;
  }
  return states_[a].next_layer < states_[b].next_layer;
}

PipelineTask Pipeline::Next() const {
  if (unfinished_ == 0) {
    return {PipelineTask::Kind::kDone, 0, 0};
  }
  int32_t best = -1;
  for (int32_t i = 0; i < num_micro_batches(); ++i) {
    if (CanAdvance(i) && (best < 0 || Before(i, best, away_ == 0))) {
      best = i;
    }
  }
  if (best >= 0) {
    return {PipelineTask::Kind::kAdvance, best, states_[best].next_layer};
  }
  for (int32_t i = 0; i < num_micro_batches(); ++i) {
    if (states_[i].owes_shared && (best < 0 || states_[i].sent < states_[best].sent)) {
      best = i;
    }
  }
  if (best >= 0) {
    return {PipelineTask::Kind::kSharedExpert, best, states_[best].next_layer - 1};
  }
  return {PipelineTask::Kind::kWait, 0, 0};
}

void Pipeline::OnDone(const PipelineTask& task) {
  State& state = states_[task.micro_batch];
  state.owes_shared = false;
  if (task.kind != PipelineTask::Kind::kAdvance) {
    return;
  }
  if (task.layer == static_cast<int32_t>(shape_.experts.size())) {
    state.finished = true;
    --unfinished_;
    return;
  }
  ++state.next_layer;
  if (shape_.experts[task.layer]) {
    state.away = true;
    state.owes_shared = shape_.shared_experts;
    state.sent = dispatches_++;
    ++away_;
  }
}

void Pipeline::OnArrived(int32_t micro_batch) {
  states_[micro_batch].away = false;
  --away_;
}

}  // namespace tandem::scheduler
