// Which waiting sequences join the batch, and which leave it again for want of blocks.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "router/engine.h"

namespace tandem::router {

using scheduler::BatchLimits;
using scheduler::SequenceView;

SequenceView Engine::ViewOf(const Sequence& sequence) const {
  return {.pending_tokens = sequence.pending(),
          .cached_tokens = sequence.cached,
          .held_blocks = static_cast<int64_t>(sequence.table.blocks.size()),
          .copies_block = blocks_.NeedsCopy(sequence.table, sequence.cached),
          .decoding = sequence.decoding(),
          .priority = sequence.priority()};
}

std::vector<SequenceView> Engine::RunningViews() const {
  std::vector<SequenceView> views;
  views.reserve(running_.size());
  for (const SequencePtr& sequence : running_) {
    views.push_back(ViewOf(*sequence));
  }
  return views;
}

BatchLimits Engine::Limits() const {
  return {.max_batch_tokens = options_.max_batch_tokens,
          .block_size = options_.kv_block_size,
          .available_blocks = blocks_.num_available()};
}

void Engine::Admit() {
  while (TryAdmit()) {
  }
  masks_.Start();
}

// Those that ran before come first, unless somebody new has a better priority.
Sequence* Engine::NextToAdmit() {
  const auto next_new = queue_.Front();
  if (!preempted_.empty() && (!next_new.has_value() || preempted_.front()->priority() <= next_new->priority)) {
    return preempted_.front().get();
  }
  return next_new.has_value() ? waiting_.at(next_new->id).get() : nullptr;
}

bool Engine::TryAdmit() {
  Sequence* next = NextToAdmit();
  if (next == nullptr) {
    return false;
  }
  const bool outranks_last = !running_.empty() && next->priority() < running_.back()->priority();
  if (static_cast<int>(running_.size()) >= options_.max_sequences) {
    if (!outranks_last) {
      return false;
    }
    Preempt(running_.size() - 1);
    return true;
  }
  Sequence& sequence = *next;
  MatchPrefix(sequence);
  if (!scheduler::HasRoom(ViewOf(sequence), RunningViews(), Limits())) {
    blocks_.Release(sequence.table);
    sequence.cached = 0;
    if (outranks_last) {
      Preempt(running_.size() - 1);
    }
    return outranks_last;
  }
  SequencePtr admitted;
  if (!preempted_.empty() && preempted_.front().get() == next) {
    admitted = std::move(preempted_.front());
    preempted_.erase(preempted_.begin());
  } else {
    auto entry = waiting_.extract(sequence.request->id);
    queue_.Remove(entry.key());
    admitted = std::move(entry.mapped());
  }
  StartSequence(*admitted);
  Join(std::move(admitted));
  return true;
}

// Where most of the prompt is in the prefix cache already, else where there is less to do.
void Engine::MatchPrefix(Sequence& sequence) {
  const int directions = runner_.place().layout.num_directions();
  std::vector<int64_t> load(directions, 0);
  for (const SequencePtr& running : running_) {
    load[running->direction] += running->pending();
  }
  int best = 0;
  int64_t best_cached = -1;
  for (int direction = 0; directions > 1 && direction < directions; ++direction) {
    sequence.direction = direction;
    BlockTable table;
    const int64_t cached =
        blocks_.Match(sequence.tokens, sequence.ReusableTokens(), CacheSalt(sequence), table);
    blocks_.Release(table);
    if (cached > best_cached || (cached == best_cached && load[direction] < load[best])) {
      best = direction;
      best_cached = cached;
    }
  }
  sequence.direction = best;
  sequence.cached =
      blocks_.Match(sequence.tokens, sequence.ReusableTokens(), CacheSalt(sequence), sequence.table);
}

// KV blocks of one direction lie in other layers' memory than those of the other.
std::string Engine::CacheSalt(const Sequence& sequence) const {
  const std::string& salt = sequence.request->request.cache_salt;
  return runner_.place().layout.num_directions() > 1 ? absl::StrCat(sequence.direction, ":", salt) : salt;
}

// The other pipeline stages have lost their KV caches: all begin again.
void Engine::ForgetCache() {
  while (!running_.empty()) {
    Preempt(running_.size() - 1);
  }
  blocks_.Forget();
}

void Engine::StartSequence(Sequence& sequence) {
  RequestState& request = *sequence.request;
  if (std::exchange(request.started, true)) {
    return;
  }
  request.queue_time = absl::Now() - request.submitted;
  request.cached_tokens = static_cast<int32_t>(sequence.cached);
  sequence.rules =
      std::make_unique<LogitsRules>(request.request.sampling, sequence.tokens, options_.eos_token_ids);
  if (request.request.constraint != nullptr) {
    sequence.constraint =
        std::make_shared<MaskedConstraint>(request.request.constraint->Clone(), decoder_.spec().vocab_size);
    masks_.Schedule(sequence.constraint, std::nullopt);
  }
  absl::MutexLock lock(&mutex_);
  stats_.prefix_queried_tokens += static_cast<uint64_t>(request.prompt_tokens);
  stats_.prefix_hit_tokens += static_cast<uint64_t>(sequence.cached);
}

void Engine::Join(SequencePtr sequence) {
  const auto place = std::upper_bound(running_.begin(), running_.end(), sequence,
                                      [](const SequencePtr& a, const SequencePtr& b) { return Precedes(*a, *b); });
  running_.insert(place, std::move(sequence));
}

void Engine::Preempt(size_t index) {
  SequencePtr sequence = std::move(running_[index]);
  running_.erase(running_.begin() + static_cast<int64_t>(index));
  blocks_.Release(sequence->table);
  sequence->cached = 0;
  const auto place = std::upper_bound(preempted_.begin(), preempted_.end(), sequence,
                                      [](const SequencePtr& a, const SequencePtr& b) { return Precedes(*a, *b); });
  preempted_.insert(place, std::move(sequence));
  absl::MutexLock lock(&mutex_);
  ++stats_.preemptions;
}

}  // namespace tandem::router
