#include "router/engine.h"

#include <algorithm>
#include <limits>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread_name.h"
#include "router/sampler.h"

namespace tandem::router {

using compute::DType;
using compute::SequenceRows;
using scheduler::StepItem;

Engine::Engine(const model::Decoder& decoder, WorkerPool& workers, EngineOptions options)
    : decoder_(decoder),
      workers_(workers),
      options_(std::move(options)),
      counters_(decoder.spec().num_layers(), decoder.spec().gate.num_experts),
      blocks_(options_.num_kv_blocks, options_.kv_block_size),
      dispatcher_(decoder, workers, counters_, options_.dispatch_timeout) {}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const model::Decoder& decoder, WorkerPool& workers,
                                                       EngineOptions options) {
  std::unique_ptr<Engine> engine(new Engine(decoder, workers, std::move(options)));
  RETURN_IF_ERROR(engine->Allocate());
  engine->thread_ = std::thread([e = engine.get()] {
    SetThreadName("engine");
    e->Run();
  });
  return engine;
}

absl::Status Engine::Allocate() {
  if (blocks_.BlocksFor(options_.max_model_len) > options_.num_kv_blocks) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the KV cache holds ", options_.num_kv_blocks * options_.kv_block_size, " tokens, less than max-model-len ",
        options_.max_model_len, ": raise --kv-cache-memory or lower --max-model-len"));
  }
  ASSIGN_OR_RETURN(cache_, decoder_.AllocateKvCache(options_.num_kv_blocks, options_.kv_block_size));
  ASSIGN_OR_RETURN(activations_,
                   decoder_.AllocateActivations(std::max<int64_t>(options_.max_batch_tokens, options_.max_sequences)));
  ASSIGN_OR_RETURN(logits_,
                   decoder_.backend().Allocate(DType::kF32, {options_.max_sequences, decoder_.spec().vocab_size}));
  return absl::OkStatus();
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

absl::StatusOr<uint64_t> Engine::Submit(GenerationRequest request, TokenSink sink) {
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
  if (request.sampling.max_tokens <= 0) {
    return absl::InvalidArgumentError("max_tokens must be positive");
  }
  RETURN_IF_ERROR(workers_.Health());
  auto sequence = std::make_unique<Sequence>();
  sequence->tokens = std::move(request.prompt);
  sequence->prompt_tokens = prompt_tokens;
  sequence->max_tokens =
      std::min<int64_t>(request.sampling.max_tokens, options_.max_model_len - prompt_tokens);
  sequence->seed = request.sampling.seed.has_value() ? *request.sampling.seed : absl::Uniform<uint64_t>(absl::BitGen());
  sequence->sampling = std::move(request.sampling);
  sequence->sink = std::move(sink);
  absl::MutexLock lock(&mutex_);
  if (draining_ || stopping_) {
    return absl::UnavailableError("the server is shutting down");
  }
  if (num_waiting_ >= options_.max_queue) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full (", num_waiting_, " requests are waiting)"));
  }
  const uint64_t id = next_id_++;
  sequence->id = id;
  ++num_waiting_;
  inbox_.push_back(std::move(sequence));
  return id;
}

void Engine::Cancel(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  cancelled_.insert(id);
}

void Engine::CancelChoice(uint64_t id, int32_t) { Cancel(id); }

absl::Status Engine::Health() const {
  {
    absl::MutexLock lock(&mutex_);
    if (draining_ || stopping_) {
      return absl::UnavailableError("the server is shutting down");
    }
  }
  return workers_.Health();
}

bool Engine::Drain(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return num_waiting_ == 0 && num_running_ == 0; };
  return mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline);
}

EngineStats Engine::Stats() const {
  EngineStats stats;
  stats.kv_blocks = options_.num_kv_blocks;
  stats.kv_blocks_used = blocks_used_.load(std::memory_order_relaxed);
  stats.steps = steps_.load(std::memory_order_relaxed);
  stats.prompt_tokens = prompt_tokens_.load(std::memory_order_relaxed);
  stats.generated_tokens = generated_tokens_.load(std::memory_order_relaxed);
  absl::MutexLock lock(&mutex_);
  stats.running = num_running_;
  stats.waiting = num_waiting_;
  return stats;
}

void Engine::SetLogitsObserver(LogitsObserver observer) {
  absl::MutexLock lock(&mutex_);
  observer_ = std::move(observer);
}

void Engine::Run() {
  while (TakeInbox()) {
    Admit();
    if (!running_.empty()) {
      Step();
    }
    RetireFinished();
  }
  for (SequencePtr& sequence : waiting_) {
    Finish(*sequence, {.finish_reason = FinishReason::kCancelled});
  }
  for (SequencePtr& sequence : running_) {
    Finish(*sequence, {.finish_reason = FinishReason::kCancelled});
  }
}

bool Engine::TakeInbox() {
  absl::flat_hash_set<uint64_t> cancelled;
  bool stopping = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return stopping_ || !inbox_.empty() || !running_.empty() || !waiting_.empty();
    };
    mutex_.Await(absl::Condition(&has_work));
    for (SequencePtr& sequence : inbox_) {
      waiting_.push_back(std::move(sequence));
    }
    inbox_.clear();
    cancelled.swap(cancelled_);
    stopping = stopping_;
  }
  if (!cancelled.empty()) {
    const auto cancel = [&](SequencePtr& sequence) {
      if (sequence->sink && cancelled.contains(sequence->id)) {
        Finish(*sequence, {.finish_reason = FinishReason::kCancelled});
      }
    };
    std::for_each(waiting_.begin(), waiting_.end(), cancel);
    std::for_each(running_.begin(), running_.end(), cancel);
    RetireFinished();
  }
  return !stopping;
}

void Engine::Admit() {
  while (!waiting_.empty() && static_cast<int>(running_.size()) < options_.max_sequences) {
    Sequence& next = *waiting_.front();
    auto blocks = blocks_.Allocate(next.prompt_tokens + next.max_tokens);
    if (!blocks.has_value()) {
      break;
    }
    next.blocks = *std::move(blocks);
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  blocks_used_.store(blocks_.num_blocks() - blocks_.num_free(), std::memory_order_relaxed);
  absl::MutexLock lock(&mutex_);
  num_running_ = static_cast<int>(running_.size());
  num_waiting_ = static_cast<int>(waiting_.size() + inbox_.size());
}

void Engine::Step() {
  std::vector<scheduler::SequenceView> views;
  for (const SequencePtr& sequence : running_) {
    views.push_back({.pending_tokens = sequence->pending(), .decoding = sequence->generated() > 0});
  }
  const std::vector<StepItem> plan = scheduler::PlanStep(views, {.max_batch_tokens = options_.max_batch_tokens});
  std::vector<float> logits;
  const absl::Status status = Forward(plan, logits);
  steps_.fetch_add(1, std::memory_order_relaxed);
  if (!status.ok()) {
    spdlog::warn("a step with {} sequences failed: {}", plan.size(), status.ToString());
    for (const StepItem& item : plan) {
      Finish(*running_[item.sequence], {.finish_reason = FinishReason::kError, .error = status});
    }
    return;
  }
  const int64_t vocab_size = decoder_.spec().vocab_size;
  int64_t row = 0;
  for (const StepItem& item : plan) {
    Sequence& sequence = *running_[item.sequence];
    sequence.cached += item.num_tokens;
    if (sequence.generated() == 0) {
      prompt_tokens_.fetch_add(item.num_tokens, std::memory_order_relaxed);
    }
    if (sequence.pending() == 0) {
      Sample(sequence, absl::MakeSpan(logits).subspan(row * vocab_size, vocab_size));
      ++row;
    }
  }
}

absl::Status Engine::Forward(const std::vector<StepItem>& plan, std::vector<float>& logits) {
  std::vector<int32_t> ids;
  std::vector<SequenceRows> rows;
  std::vector<int32_t> sampled_rows;
  for (const StepItem& item : plan) {
    const Sequence& sequence = *running_[item.sequence];
    rows.push_back({.first_row = static_cast<int32_t>(ids.size()),
                    .num_rows = static_cast<int32_t>(item.num_tokens),
                    .position = static_cast<int32_t>(sequence.cached),
                    .block_table = sequence.blocks});
    const auto begin = sequence.tokens.begin() + sequence.cached;
    ids.insert(ids.end(), begin, begin + item.num_tokens);
    if (item.num_tokens == sequence.pending()) {
      sampled_rows.push_back(static_cast<int32_t>(ids.size()) - 1);
    }
  }
  compute::Backend& backend = decoder_.backend();
  const std::unique_ptr<compute::BatchLayout> batch = backend.PrepareBatch(rows, options_.kv_block_size);
  decoder_.Embed(ids, activations_);
  for (int layer = 0; layer < decoder_.spec().num_layers(); ++layer) {
    RETURN_IF_ERROR(RunLayer(layer, *batch));
  }
  if (!sampled_rows.empty()) {
    const compute::Tensor out = logits_.Rows(0, static_cast<int64_t>(sampled_rows.size()));
    logits.resize(out.num_elements());
    decoder_.Logits(sampled_rows, activations_, out);
    backend.Download(out, compute::WritableBytesOf(absl::MakeSpan(logits)));
  }
  return backend.Record()->Wait();
}

absl::Status Engine::RunLayer(int layer, const compute::BatchLayout& batch) {
  decoder_.Attend(layer, batch, cache_, activations_);
  if (!decoder_.spec().layers[layer].experts) {
    decoder_.DenseMlp(layer, activations_);
    return absl::OkStatus();
  }
  decoder_.Route(layer, activations_);
  ASSIGN_OR_RETURN(ExpertFlight flight, dispatcher_.Start(layer, activations_));
  decoder_.SharedExpert(layer, activations_);
  RETURN_IF_ERROR(dispatcher_.Finish(std::move(flight), activations_));
  decoder_.Combine(layer, activations_);
  return absl::OkStatus();
}

bool Engine::IsStop(const Sequence& sequence, int32_t token) const {
  const auto contains = [token](const std::vector<int32_t>& ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  return contains(sequence.sampling.stop_token_ids) ||
         (!sequence.sampling.ignore_eos && contains(options_.eos_token_ids));
}

void Engine::Sample(Sequence& sequence, absl::Span<float> logits) {
  if (!sequence.sink) {
    return;
  }
  const int64_t position = static_cast<int64_t>(sequence.tokens.size());
  {
    absl::MutexLock lock(&mutex_);
    if (observer_) {
      observer_(sequence.id, position, logits);
    }
  }
  if (sequence.generated() < sequence.sampling.min_tokens) {
    for (const int32_t token : options_.eos_token_ids) {
      logits[token] = -std::numeric_limits<float>::infinity();
    }
    for (const int32_t token : sequence.sampling.stop_token_ids) {
      if (token >= 0 && token < static_cast<int32_t>(logits.size())) {
        logits[token] = -std::numeric_limits<float>::infinity();
      }
    }
  }
  const int32_t token = SampleToken(logits, sequence.sampling, sequence.seed, static_cast<uint64_t>(position));
  sequence.tokens.push_back(token);
  generated_tokens_.fetch_add(1, std::memory_order_relaxed);
  TokenEvent event{.token = token};
  if (IsStop(sequence, token)) {
    event.finish_reason = FinishReason::kStop;
  } else if (sequence.generated() >= sequence.max_tokens) {
    event.finish_reason = FinishReason::kLength;
  }
  if (event.finish_reason == FinishReason::kNone) {
    sequence.sink(event);
  } else {
    Finish(sequence, event);
  }
}

void Engine::Finish(Sequence& sequence, const TokenEvent& event) {
  if (sequence.sink) {
    const TokenSink sink = std::exchange(sequence.sink, nullptr);
    sink(event);
  }
}

void Engine::RetireFinished() {
  const auto finished = [this](const SequencePtr& sequence) {
    if (sequence->sink) {
      return false;
    }
    blocks_.Free(sequence->blocks);
    return true;
  };
  const size_t removed = std::erase_if(running_, finished) + std::erase_if(waiting_, finished);
  if (removed == 0) {
    return;
  }
  blocks_used_.store(blocks_.num_blocks() - blocks_.num_free(), std::memory_order_relaxed);
  absl::MutexLock lock(&mutex_);
  num_running_ = static_cast<int>(running_.size());
  num_waiting_ = static_cast<int>(waiting_.size() + inbox_.size());
}

}  // namespace tandem::router
