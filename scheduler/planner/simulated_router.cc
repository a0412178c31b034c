#include "scheduler/planner/simulated_router.h"

#include <algorithm>
#include <utility>

#include "scheduler/micro_batches.h"

namespace tandem::scheduler {
namespace {

// Sum of the positions that `tokens` rows from position `begin` on attend to: each to all before it and itself.
double Positions(int64_t begin, int64_t tokens) {
  const auto n = static_cast<double>(tokens);
  return n * static_cast<double>(begin) + n * (n + 1) / 2;
}

int64_t BlocksFor(int64_t tokens, int64_t block_size) { return (tokens + block_size - 1) / block_size; }

}  // namespace

SimulatedRouter::SimulatedRouter(PipelineShape shape, const ClusterLayout& layout, int64_t kv_blocks)
    : layout_(layout), free_blocks_(kv_blocks), chooser_(std::move(shape)) {}

void SimulatedRouter::Submit(SimulatedRequest request) {
  const uint64_t id = request.id;
  auto sequence = std::make_unique<Sequence>();
  sequence->request = request;
  queue_.Push(id, /*priority=*/0, /*user=*/"");
  waiting_[id] = std::move(sequence);
}

void SimulatedRouter::Resume(SimulatedRequest request, double last_token) {
  auto sequence = std::make_unique<Sequence>();
  sequence->request = request;
  sequence->request.last_token = last_token;
  sequence->cached = sequence->tokens() - 1;
  sequence->blocks = BlocksFor(sequence->cached, layout_.kv_block_size);
  free_blocks_ -= sequence->blocks;
  running_.push_back(std::move(sequence));
}

SequenceView SimulatedRouter::ViewOf(const Sequence& sequence) const {
  return {.pending_tokens = sequence.pending(),
          .cached_tokens = sequence.cached,
          .held_blocks = sequence.blocks,
          .copies_block = false,
          .decoding = sequence.decoding(),
          .priority = 0};
}

std::vector<SequenceView> SimulatedRouter::Views() const {
  std::vector<SequenceView> views;
  views.reserve(running_.size());
  for (const SequencePtr& sequence : running_) {
    views.push_back(ViewOf(*sequence));
  }
  return views;
}

BatchLimits SimulatedRouter::Limits() const {
  return {.max_batch_tokens = layout_.max_batch_tokens,
          .block_size = layout_.kv_block_size,
          .available_blocks = free_blocks_};
}

void SimulatedRouter::Admit() {
  while (TryAdmit()) {
  }
  if (waiting() > 0 && running() < layout_.max_sequences) {
    ++steps_short_of_blocks_;
  }
}

bool SimulatedRouter::TryAdmit() {
  if (waiting() == 0 || running() >= layout_.max_sequences) {
    return false;
  }
  const uint64_t next_new = preempted_.empty() ? queue_.Front()->id : 0;
  SequencePtr& next = preempted_.empty() ? waiting_.at(next_new) : preempted_.front();
  SequenceView candidate = ViewOf(*next);
  const int64_t reused = std::min(next->request.cached_prompt_tokens, next->request.prompt_tokens - 1);
  candidate.cached_tokens = reused;
  candidate.pending_tokens = next->tokens() - reused;
  candidate.held_blocks = BlocksFor(reused, layout_.kv_block_size);
  BatchLimits limits = Limits();
  limits.available_blocks -= candidate.held_blocks;
  if (limits.available_blocks < 0 || !HasRoom(candidate, Views(), limits)) {
    return false;
  }
  SequencePtr admitted = std::move(next);
  if (preempted_.empty()) {
    queue_.Remove(next_new);
    waiting_.erase(next_new);
  } else {
    preempted_.pop_front();
  }
  admitted->cached = reused;
  admitted->blocks = candidate.held_blocks;
  free_blocks_ -= admitted->blocks;
  const auto place = std::upper_bound(running_.begin(), running_.end(), admitted,
                                      [](const auto& a, const auto& b) { return a->request.id < b->request.id; });
  running_.insert(place, std::move(admitted));
  return true;
}

void SimulatedRouter::Release(Sequence& sequence) {
  free_blocks_ += std::exchange(sequence.blocks, 0);
  sequence.cached = 0;
}

void SimulatedRouter::Preempt(size_t index) {
  SequencePtr sequence = std::move(running_[index]);
  running_.erase(running_.begin() + static_cast<int64_t>(index));
  Release(*sequence);
  ++preemptions_;
  const auto place = std::upper_bound(preempted_.begin(), preempted_.end(), sequence,
                                      [](const auto& a, const auto& b) { return a->request.id < b->request.id; });
  preempted_.insert(place, std::move(sequence));
}

std::vector<StepItem> SimulatedRouter::Plan() {
  while (true) {
    StepPlan plan = PlanStep(Views(), Limits());
    if (!plan.preempt.has_value()) {
      return std::move(plan.items);
    }
    Preempt(static_cast<size_t>(*plan.preempt));
  }
}

std::optional<SimulatedStepWork> SimulatedRouter::FormStep() {
  Admit();
  if (running_.empty()) {
    return std::nullopt;
  }
  plan_ = Plan();
  if (plan_.empty()) {
    return std::nullopt;
  }
  SimulatedStepWork step;
  std::vector<int64_t> position;
  for (const SequencePtr& sequence : running_) {
    position.push_back(sequence->cached);
  }
  for (const StepItem& item : plan_) {
    Sequence& sequence = *running_[item.sequence];
    const int64_t blocks = BlocksFor(sequence.cached + item.num_tokens, layout_.kv_block_size);
    free_blocks_ -= blocks - sequence.blocks;
    sequence.blocks = blocks;
    step.tokens += item.num_tokens;
    step.prompt_tokens += sequence.decoding() ? 0 : item.num_tokens;
    step.rows += item.num_tokens == sequence.pending() ? 1 : 0;
  }
  step.sequences = static_cast<int64_t>(plan_.size());
  const int cut = layout_.workers == 0        ? 1
                  : layout_.micro_batches > 0 ? layout_.micro_batches
                                              : chooser_.Choose(step.tokens, step.prompt_tokens);
  for (const MicroBatch& micro_batch : CutStep(plan_, cut)) {
    step.follows.push_back(micro_batch.follows);
    MicroBatchWork& work = step.micro_batches.emplace_back();
    for (const StepItem& item : micro_batch.items) {
      AddItem(item, position, work);
    }
  }
  return step;
}

void SimulatedRouter::AddItem(const StepItem& item, std::vector<int64_t>& position, MicroBatchWork& work) const {
  int64_t& begin = position[item.sequence];
  const bool decoding = running_[item.sequence]->decoding();
  work.tokens += item.num_tokens;
  work.prompt_tokens += decoding ? 0 : item.num_tokens;
  (decoding ? work.decode_positions : work.prompt_positions) += Positions(begin, item.num_tokens);
  begin += item.num_tokens;
}

void SimulatedRouter::FinishStep(double now, std::vector<TokenGap>& gaps, std::vector<SimulatedRequest>& done) {
  for (const StepItem& item : plan_) {
    Sequence& sequence = *running_[item.sequence];
    sequence.cached += item.num_tokens;
    queue_.Charge("", item.num_tokens);
    if (sequence.pending() > 0) {
      continue;
    }
    SimulatedRequest& request = sequence.request;
    const bool first = request.generated == 0;
    gaps.push_back({now - (first ? request.arrived : request.last_token), first, first ? request.prompt_tokens : 0});
    if (first) {
      request.first_token = now;
    }
    request.last_token = now;
    ++request.generated;
    if (request.generated >= request.output_tokens) {
      Release(sequence);
      done.push_back(request);
    }
  }
  std::erase_if(running_, [](const SequencePtr& sequence) {
    return sequence->request.generated >= sequence->request.output_tokens;
  });
}

void SimulatedRouter::Learn(const SimulatedStepWork& step, double seconds,
                            const std::vector<std::pair<MicroBatchLoad, LayerCost>>& layers) {
  chooser_.Observe(step.tokens, step.prompt_tokens, static_cast<int>(step.micro_batches.size()), seconds, layers);
}

}  // namespace tandem::scheduler
