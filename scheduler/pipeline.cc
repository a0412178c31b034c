#include "scheduler/pipeline.h"

#include <cstddef>
#include <utility>

namespace tandem::scheduler {

namespace {

std::vector<PipelinePath> WholeWay(const PipelineShape& shape, const std::vector<bool>& follows) {
  std::vector<PipelinePath> paths;
  for (const bool follow : follows) {
    paths.push_back({.layers = {0, static_cast<int>(shape.experts.size())}, .follows = follow});
  }
  return paths;
}

}  // namespace

Pipeline::Pipeline(const PipelineShape& shape, const std::vector<bool>& follows)
    : Pipeline(shape, WholeWay(shape, follows), /*window=*/0) {}

Pipeline::Pipeline(const PipelineShape& shape, std::vector<PipelinePath> paths, int window)
    : shape_(shape),
      paths_(std::move(paths)),
      window_(window),
      states_(paths_.size()),
      unfinished_(static_cast<int32_t>(paths_.size())) {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    states_[i].next_layer = paths_[i].layers.begin;
    states_[i].entering = paths_[i].enters;
  }
}

bool Pipeline::CanAdvance(int32_t i) const {
  const State& state = states_[i];
  if (state.finished || state.away || state.entering) {
    return false;
  }
  if (state.next_layer == paths_[i].layers.begin && window_ > 0 && inside_ >= window_) {
    return false;
  }
  const bool last = state.next_layer == paths_[i].layers.end;
  return last || !paths_[i].follows || states_[i - 1].next_layer > state.next_layer;
}

bool Pipeline::Before(int32_t a, int32_t b) const {
  if (away_ == 0 && states_[a].owes_shared != states_[b].owes_shared) {
    return states_[b].owes_shared;
  }
  if (paths_[a].layers.begin != paths_[b].layers.begin) {
    return paths_[a].layers.begin < paths_[b].layers.begin;
  }
  return paths_[a].leaves ? states_[a].next_layer > states_[b].next_layer
                          : states_[a].next_layer < states_[b].next_layer;
}

PipelineTask Pipeline::Next() const {
  if (unfinished_ == 0) {
    return {PipelineTask::Kind::kDone, 0, 0};
  }
  int32_t best = -1;
  for (int32_t i = 0; i < num_micro_batches(); ++i) {
    if (CanAdvance(i) && (best < 0 || Before(i, best))) {
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
  inside_ += task.layer == paths_[task.micro_batch].layers.begin ? 1 : 0;
  if (task.layer == paths_[task.micro_batch].layers.end) {
    state.finished = true;
    --unfinished_;
    --inside_;
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
  State& state = states_[micro_batch];
  if (state.entering) {
    state.entering = false;
    return;
  }
  state.away = false;
  --away_;
}

}  // namespace tandem::scheduler
