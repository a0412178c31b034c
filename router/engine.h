// The engine: queues requests, forms steps, runs the forward pass and samples.
//
// One thread ("engine") owns all model state: sequences, KV blocks, the backend's call order. Submit and Cancel only
// touch the inbox. A step is formed by scheduler::PlanStep: decoding sequences first, prompts in chunks beside them.
// A sequence gets KV blocks for its prompt and its max_tokens when it is admitted, so a running sequence never waits
// for memory; requests wait in arrival order until there is room.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "model/decoder.h"
#include "router/block_manager.h"
#include "router/expert_dispatcher.h"
#include "router/token_engine.h"
#include "scheduler/batcher.h"

namespace tandem::router {

struct EngineOptions {
  int64_t max_batch_tokens = 512;  // tokens of one step
  int max_sequences = 64;          // running at the same time
  int max_queue = 1024;            // waiting; beyond it Submit fails with RESOURCE_EXHAUSTED
  int64_t max_model_len = 0;       // tokens of one sequence, prompt and answer
  int64_t num_kv_blocks = 0;
  int kv_block_size = compute::kAttentionTile;
  absl::Duration dispatch_timeout = absl::Seconds(30);
  std::vector<int32_t> eos_token_ids;
};

// A snapshot for metrics.
struct EngineStats {
  int running = 0;
  int waiting = 0;
  int64_t kv_blocks_used = 0;
  int64_t kv_blocks = 0;
  uint64_t steps = 0;
  uint64_t prompt_tokens = 0;
  uint64_t generated_tokens = 0;
};

class Engine : public TokenEngine {
 public:
  // `decoder` and `workers` must outlive the engine. Errors: RESOURCE_EXHAUSTED when the KV cache does not fit.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const model::Decoder& decoder, WorkerPool& workers,
                                                        EngineOptions options);
  ~Engine() override;  // cancels what runs

  absl::StatusOr<uint64_t> Submit(GenerationRequest request, TokenSink sink) override;
  void Cancel(uint64_t id) override;
  void CancelChoice(uint64_t id, int32_t choice) override;
  absl::Status Health() const override;
  int32_t max_model_len() const override { return static_cast<int32_t>(options_.max_model_len); }
  int32_t vocab_size() const override { return static_cast<int32_t>(decoder_.spec().vocab_size); }

  // Refuses new requests from now on and waits for the running ones. False when the deadline came first.
  bool Drain(absl::Time deadline);

  EngineStats Stats() const;
  const ExpertCounters& expert_counters() const { return counters_; }

  // Called on the engine's thread with every row of logits that is sampled from: for tests and debugging.
  using LogitsObserver = std::function<void(uint64_t id, int64_t position, absl::Span<const float> logits)>;
  void SetLogitsObserver(LogitsObserver observer);

 private:
  // A request and its progress. `tokens` is prompt and answer; the first `cached` of them are in the KV cache.
  struct Sequence {
    uint64_t id = 0;
    std::vector<int32_t> tokens;
    int64_t prompt_tokens = 0;
    int64_t max_tokens = 0;  // of the answer
    uint64_t seed = 0;
    SamplingParams sampling;
    TokenSink sink;
    int64_t cached = 0;
    std::vector<int32_t> blocks;

    int64_t pending() const { return static_cast<int64_t>(tokens.size()) - cached; }
    int64_t generated() const { return static_cast<int64_t>(tokens.size()) - prompt_tokens; }
  };
  using SequencePtr = std::unique_ptr<Sequence>;

  Engine(const model::Decoder& decoder, WorkerPool& workers, EngineOptions options);
  absl::Status Allocate();

  void Run();
  // Moves new requests and cancellations in; false when the engine is to stop.
  bool TakeInbox();
  void Admit();
  void Step();
  absl::Status Forward(const std::vector<scheduler::StepItem>& plan, std::vector<float>& logits);
  absl::Status RunLayer(int layer, const compute::BatchLayout& batch);
  void Sample(Sequence& sequence, absl::Span<float> logits);
  bool IsStop(const Sequence& sequence, int32_t token) const;
  void Finish(Sequence& sequence, const TokenEvent& event);
  void RetireFinished();

  const model::Decoder& decoder_;
  WorkerPool& workers_;
  const EngineOptions options_;
  ExpertCounters counters_;

  // Engine thread only.
  BlockManager blocks_;
  ExpertDispatcher dispatcher_;
  model::KvCache cache_;
  model::Activations activations_;
  compute::Tensor logits_;  // [max_sequences, vocab_size] f32
  std::deque<SequencePtr> waiting_;
  std::vector<SequencePtr> running_;

  std::atomic<uint64_t> steps_ = 0;
  std::atomic<uint64_t> prompt_tokens_ = 0;
  std::atomic<uint64_t> generated_tokens_ = 0;
  std::atomic<int64_t> blocks_used_ = 0;

  mutable absl::Mutex mutex_;
  std::vector<SequencePtr> inbox_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<uint64_t> cancelled_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  int num_waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // inbox and waiting_
  int num_running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  LogitsObserver observer_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace tandem::router
