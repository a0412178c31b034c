#include "router/engine.h"

#include <algorithm>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread_name.h"

namespace tandem::router {

namespace {

// The way of all that run without pipeline stages is one stage with all layers.
scheduler::StageLayout LayoutOf(const EngineOptions& options, const model::Decoder& decoder) {
  return options.stages.num_layers > 0 ? options.stages
                                       : scheduler::StageLayout{.num_layers = decoder.spec().num_layers()};
}

}  // namespace

Engine::Engine(const model::Decoder& decoder, WorkerPool& workers, EngineOptions options, StageChain* stages)
    : decoder_(decoder),
      workers_(workers),
      stages_(stages),
      options_(std::move(options)),
      counters_(decoder.spec().num_layers(), decoder.spec().gate.num_experts),
      blocks_(options_.num_kv_blocks, options_.kv_block_size, options_.prefix_caching),
      runner_(decoder, workers, counters_,
              {.max_batch_tokens = options_.max_batch_tokens,
               .max_sequences = options_.max_sequences,
               .num_kv_blocks = options_.num_kv_blocks,
               .kv_block_size = options_.kv_block_size,
               .dispatch_timeout = options_.dispatch_timeout,
               .recorder = &recorder_,
               .awake_cpus = options_.awake_cpus},
              {.layout = LayoutOf(options_, decoder), .handover = stages}),
      masks_(static_cast<size_t>(options_.max_sequences)),
      cutter_(runner_.shape(), runner_.place().layout),
      track_(recorder_.AddTrack("Router")),
      micro_batches_(options_.micro_batches) {}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const model::Decoder& decoder, WorkerPool& workers,
                                                       EngineOptions options, StageChain* stages) {
  std::unique_ptr<Engine> engine(new Engine(decoder, workers, std::move(options), stages));
  if (engine->blocks_.BlocksFor(engine->options_.max_model_len) > engine->options_.num_kv_blocks) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the KV cache holds ", engine->options_.num_kv_blocks * engine->options_.kv_block_size,
                     " tokens, less than max-model-len ", engine->options_.max_model_len,
                     ": raise --kv-cache-memory or lower --max-model-len"));
  }
  RETURN_IF_ERROR(engine->runner_.Allocate());
  engine->thread_ = std::thread([e = engine.get()] {
    SetThreadName("engine");
    e->Run();
  });
  return engine;
}

Engine::~Engine() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

absl::Status Engine::CheckRequest(const GenerationRequest& request) const {
  const int64_t prompt_tokens = static_cast<int64_t>(request.prompt.size());
  if (prompt_tokens == 0) {
    return absl::InvalidArgumentError("the prompt is empty");
  }
  if (prompt_tokens >= options_.max_model_len) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt has ", prompt_tokens, " tokens; the context holds ",
                                                   options_.max_model_len, " with at least one for the answer"));
  }
  for (const int32_t token : request.prompt) {
    if (token < 0 || token >= decoder_.spec().vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token id ", token, " is outside the vocabulary of ", decoder_.spec().vocab_size));
    }
  }
  if (request.pooling == Pooling::kNone && (request.sampling.max_tokens <= 0 || request.sampling.n <= 0)) {
    return absl::InvalidArgumentError("max_tokens and n must be positive");
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Engine::Submit(GenerationRequest request, TokenSink sink) {
  RETURN_IF_ERROR(CheckRequest(request));
  RETURN_IF_ERROR(workers_.Health());
  if (stages_ != nullptr) {
    RETURN_IF_ERROR(stages_->Health());
  }
  auto state = std::make_shared<RequestState>();
  auto sequence = std::make_unique<Sequence>();
  sequence->tokens = std::move(request.prompt);
  sequence->forked = request.sampling.n == 1 || request.pooling != Pooling::kNone;
  state->prompt_tokens = static_cast<int64_t>(sequence->tokens.size());
  state->max_tokens =
      std::min<int64_t>(request.sampling.max_tokens, options_.max_model_len - state->prompt_tokens);
  state->seed = request.sampling.seed.has_value() ? *request.sampling.seed : absl::Uniform<uint64_t>(absl::BitGen());
  state->request = std::move(request);
  state->sink = std::make_shared<const TokenSink>(std::move(sink));
  state->submitted = absl::Now();
  sequence->request = state;

  absl::MutexLock lock(&mutex_);
  if (draining_ || stopping_) {
    return absl::UnavailableError("the server is shutting down");
  }
  const int waiting = stats_.waiting + static_cast<int>(inbox_.arrived.size());
  if (waiting >= options_.max_queue) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full (", waiting, " requests are waiting)"));
  }
  state->id = next_id_++;
  inbox_.arrived.push_back(std::move(sequence));
  return state->id;
}

void Engine::Cancel(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  inbox_.cancelled.push_back({id, std::nullopt});
}

void Engine::CancelChoice(uint64_t id, int32_t choice) {
  absl::MutexLock lock(&mutex_);
  inbox_.cancelled.push_back({id, choice});
}

absl::Status Engine::Health() const {
  {
    absl::MutexLock lock(&mutex_);
    if (draining_ || stopping_) {
      return absl::UnavailableError("the server is shutting down");
    }
  }
  RETURN_IF_ERROR(workers_.Health());
  return stages_ == nullptr ? absl::OkStatus() : stages_->Health();
}

bool Engine::Drain(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return idle_ && inbox_.arrived.empty(); };
  return mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline) && output_.AwaitDelivery(deadline);
}

EngineStats Engine::Stats() const {
  absl::MutexLock lock(&mutex_);
  EngineStats stats = stats_;
  stats.waiting += static_cast<int>(inbox_.arrived.size());
  return stats;
}

void Engine::SetMicroBatches(int micro_batches) {
  absl::MutexLock lock(&mutex_);
  micro_batches_ = micro_batches;
}

void Engine::SetLogitsObserver(LogitsObserver observer) {
  absl::MutexLock lock(&mutex_);
  observer_ = std::move(observer);
}

void Engine::Run() {
  while (TakeInbox()) {
    const absl::Time start = now_;
    EndOverdue();
    if (stages_ != nullptr && stages_->TakeRenewed()) {
      ForgetCache();
    }
    Admit();
    if (!running_.empty()) {
      RunStep();
    }
    RetireFinished();
    output_.Emit(std::exchange(events_, {}));
    PublishStats(start);
  }
  const auto cancel = [this](Sequence& sequence) { Finish(sequence, {.finish_reason = FinishReason::kCancelled}); };
  for (auto& [id, sequence] : waiting_) cancel(*sequence);
  for (SequencePtr& sequence : preempted_) cancel(*sequence);
  for (SequencePtr& sequence : running_) cancel(*sequence);
  output_.Emit(std::exchange(events_, {}));
}

bool Engine::TakeInbox() {
  Inbox inbox;
  bool stopping = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return stopping_ || !inbox_.arrived.empty() || !inbox_.cancelled.empty() || !idle_;
    };
    mutex_.Await(absl::Condition(&has_work));
    now_ = absl::Now();
    inbox = std::exchange(inbox_, {});
    stopping = stopping_;
    idle_ = idle_ && inbox.arrived.empty();
    stats_.waiting += static_cast<int>(inbox.arrived.size());
    step_observer_ = observer_;
    step_micro_batches_ = micro_batches_;
  }
  for (SequencePtr& sequence : inbox.arrived) {
    const RequestState& request = *sequence->request;
    queue_.Push(request.id, request.request.priority, request.request.user);
    waiting_[request.id] = std::move(sequence);
  }
  for (const Cancellation& cancellation : inbox.cancelled) {
    CancelWaitingOrRunning(cancellation);
  }
  RetireFinished();
  return !stopping;
}

void Engine::CancelWaitingOrRunning(const Cancellation& cancellation) {
  const auto cancel = [&](Sequence& sequence) {
    RequestState& request = *sequence.request;
    if (request.id != cancellation.id || sequence.finished) {
      return;
    }
    if (cancellation.choice.has_value() && !sequence.forked) {
      request.cancelled_choices.insert(*cancellation.choice);
      if (static_cast<int32_t>(request.cancelled_choices.size()) < request.request.sampling.n) {
        return;
      }
    } else if (cancellation.choice.value_or(sequence.choice) != sequence.choice) {
      return;
    }
    Finish(sequence, {.finish_reason = FinishReason::kCancelled});
  };
  if (const auto waiting = waiting_.find(cancellation.id); waiting != waiting_.end()) {
    cancel(*waiting->second);
  }
  for (SequencePtr& sequence : preempted_) cancel(*sequence);
  for (SequencePtr& sequence : running_) cancel(*sequence);
}

void Engine::EndOverdue() {
  const auto end = [&](Sequence& sequence) {
    if (sequence.request->request.deadline <= now_ && !sequence.finished) {
      Finish(sequence, {.finish_reason = FinishReason::kError,
                        .error = absl::DeadlineExceededError("the request took longer than this server allows")});
    }
  };
  for (auto& [id, sequence] : waiting_) end(*sequence);
  for (SequencePtr& sequence : preempted_) end(*sequence);
  for (SequencePtr& sequence : running_) end(*sequence);
  RetireFinished();
}

void Engine::Emit(Sequence& sequence, TokenEvent event) {
  RequestState& request = *sequence.request;
  event.time = now_;
  if (!std::exchange(sequence.reported, true)) {
    auto first = std::make_shared<FirstEventInfo>();
    first->cached_tokens = request.cached_tokens;
    first->queue_time = request.queue_time;
    if (event.choice == 0) {
      first->prompt_logprobs = request.prompt_logprobs;
    }
    event.first = std::move(first);
  }
  events_.push_back({request.sink, std::move(event)});
}

void Engine::Finish(Sequence& sequence, TokenEvent event) {
  if (std::exchange(sequence.finished, true)) {
    return;
  }
  const int32_t answers = sequence.forked ? 1 : sequence.request->request.sampling.n;
  for (int32_t i = 0; i < answers; ++i) {
    event.choice = sequence.choice + i;
    sequence.reported = sequence.reported && sequence.forked;
    Emit(sequence, event);
  }
}

void Engine::RetireFinished() {
  const auto retire = [this](SequencePtr& sequence) {
    if (sequence->finished) {
      blocks_.Release(sequence->table);
    }
    return sequence->finished;
  };
  std::erase_if(running_, retire);
  std::erase_if(preempted_, retire);
  absl::erase_if(waiting_, [this](const auto& entry) {
    if (entry.second->finished) {
      queue_.Remove(entry.first);
    }
    return entry.second->finished;
  });
}

void Engine::PublishStats(absl::Time iteration_start) {
  const int waiting = static_cast<int>(waiting_.size() + preempted_.size());
  absl::MutexLock lock(&mutex_);
  stats_.busy_seconds += absl::ToDoubleSeconds(absl::Now() - iteration_start);
  stats_.running = static_cast<int>(running_.size());
  stats_.waiting = waiting;
  stats_.kv_blocks = blocks_.num_blocks();
  stats_.kv_blocks_used = blocks_.num_blocks() - blocks_.num_available();
  stats_.kv_blocks_cached = blocks_.num_cached();
  idle_ = running_.empty() && waiting == 0;
}

}  // namespace tandem::router
