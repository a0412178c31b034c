// The engine: queues requests, forms steps, runs them through the model, and chooses tokens (continuous batching:
// Orca, Yu et al., OSDI 2022; paged KV cache: vLLM, Kwon et al., SOSP 2023).
//
// One thread ("engine") owns all model state: sequences, KV blocks, the backend's call order. Submit and Cancel only
// touch the inbox; tokens leave through TokenOutput. What runs next is decided in scheduler/: who is admitted
// (FairQueue), what each step computes and who gives way when KV blocks run out (PlanStep). A preempted sequence loses
// its blocks and computes them again later, as far as the prefix cache has not kept them; by the invariance contract
// that changes no token.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/awake_cpus.h"
#include "router/block_manager.h"
#include "router/model_runner.h"
#include "router/sequence.h"
#include "router/stage_chain.h"
#include "router/token_chooser.h"
#include "router/token_engine.h"
#include "router/token_output.h"
#include "scheduler/batcher.h"
#include "scheduler/fair_queue.h"
#include "scheduler/micro_batch_chooser.h"

namespace tandem::router {

struct EngineOptions {
  int64_t max_batch_tokens = 512;  // tokens of one step
  int max_sequences = 64;          // running at the same time
  int max_queue = 1024;            // waiting; beyond it Submit fails with RESOURCE_EXHAUSTED
  int64_t max_model_len = 0;       // tokens of one sequence, prompt and answer
  int64_t num_kv_blocks = 0;
  int kv_block_size = compute::kAttentionTile;
  bool prefix_caching = true;
  int micro_batches = 0;  // of each step, 1 … 8; 0: chosen for each step (scheduler/micro_batch_chooser.h)
  absl::Duration dispatch_timeout = absl::Seconds(30);
  std::vector<int32_t> eos_token_ids;
  scheduler::StageLayout stages;    // of which this is the head; num_layers 0: the only one
  AwakeCpus* awake_cpus = nullptr;  // as in ModelRunnerOptions
};

// A snapshot for metrics. Counters count from the start.
struct EngineStats {
  int running = 0;
  int waiting = 0;
  int64_t kv_blocks_used = 0;    // by running sequences
  int64_t kv_blocks_cached = 0;  // in the prefix cache, used or not
  int64_t kv_blocks = 0;
  uint64_t steps = 0;
  uint64_t step_tokens = 0;
  uint64_t preemptions = 0;
  uint64_t prefix_queried_tokens = 0;
  uint64_t prefix_hit_tokens = 0;
  uint64_t micro_batches = 0;
  // Where the engine's time goes while there is work. The rest of busy_seconds is its own bookkeeping.
  double busy_seconds = 0;
  double router_seconds = 0;       // embedding, attention, gate, dispatch, combine
  double shared_seconds = 0;       // shared experts
  double expert_wait_seconds = 0;  // nothing to do: scheduler::WaitParts
  double wire_wait_seconds = 0;
  double bubble_seconds = 0;
  double stage_wait_seconds = 0;  // nothing to do while other pipeline stages worked
  double logits_seconds = 0;      // last norm and lm_head
  double sample_seconds = 0;      // choosing tokens
  double plan_seconds = 0;        // choosing what to compute, and the step's input
  // Of forward passes: scheduler::StepReport.
  double forward_seconds = 0;
  double ideal_seconds = 0;
  double exposed_seconds = 0;
  double expert_seconds = 0;  // workers computing, every moment once; hidden or not
  double wire_seconds = 0;    // all communication, hidden or not
  // Of steps that were cut into one, two, … micro-batches.
  struct OfCut {
    double steps = 0;
    // Micro-batches by the order in which they begin: one layer with experts, summed over steps.
    std::array<scheduler::LayerCost, scheduler::kMaxMicroBatches> layer_costs;
  };
  std::array<OfCut, scheduler::kMaxMicroBatches> cuts;
  // The same of the last hundred steps or so: older ones count less and less.
  struct Recent {
    double forward_seconds = 0;
    double ideal_seconds = 0;
    double bubble_seconds = 0;
    double exposed_seconds = 0;
    double wire_seconds = 0;
  } recent;
};

class Engine : public TokenEngine {
 public:
  // `decoder` and `workers` must outlive the engine, as must `stages`, which goes with options.stages. Errors:
  // RESOURCE_EXHAUSTED when the KV cache does not fit.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const model::Decoder& decoder, WorkerPool& workers,
                                                        EngineOptions options, StageChain* stages = nullptr);
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
  const StageChain* stages() const { return stages_; }  // null without pipeline stages
  const ExchangeCounters& exchanges() const { return runner_.exchanges(); }

  // Records what steps do.
  trace::Recorder& recorder() { return recorder_; }

  // Overrides options.micro_batches from the next step on: 1 … 8, or 0 to choose for each step.
  void SetMicroBatches(int micro_batches);

  // Called on the engine's thread with every row of logits that is sampled from: for tests and debugging.
  using LogitsObserver =
      std::function<void(uint64_t id, int32_t choice, int64_t position, absl::Span<const float> logits)>;
  void SetLogitsObserver(LogitsObserver observer);

 private:
  struct Cancellation {
    uint64_t id = 0;
    std::optional<int32_t> choice;  // absent: all
  };
  struct Inbox {
    std::vector<SequencePtr> arrived;
    std::vector<Cancellation> cancelled;
  };
  struct Step;

  Engine(const model::Decoder& decoder, WorkerPool& workers, EngineOptions options, StageChain* stages);
  absl::Status CheckRequest(const GenerationRequest& request) const;

  void Run();
  // Waits for work and takes what came in; false when the engine is to stop.
  bool TakeInbox();
  void CancelWaitingOrRunning(const Cancellation& cancellation);
  void EndOverdue();

  // Admission (engine_admission.cc).
  void Admit();
  Sequence* NextToAdmit();
  bool TryAdmit();
  void Join(SequencePtr sequence);  // adds to running_, by precedence
  void StartSequence(Sequence& sequence);
  void Preempt(size_t index);
  void MatchPrefix(Sequence& sequence);  // also chooses its direction
  std::string CacheSalt(const Sequence& sequence) const;
  void ForgetCache();

  // One step (engine_step.cc).
  void RunStep();
  std::vector<scheduler::StepItem> Plan();
  Step Prepare(const std::vector<scheduler::StepItem>& plan);
  static void AddWanted(Sequence& sequence, int64_t position, RowRef row, Step& step);
  int ChooseMicroBatches(const Step& step);
  std::vector<scheduler::MicroBatch> Cut(const std::vector<scheduler::StepItem>& plan, int count) const;
  void Learn(const Step& step);
  void Account(const Step& step, absl::Duration planning);
  absl::Status Execute(Step& step);
  void OnLogits(Sequence& sequence, int64_t position, absl::Span<float> row);
  void OnHidden(Sequence& sequence, int64_t position, absl::Span<const float> row);
  void SampleAnswers(Sequence& sequence, absl::Span<float> row);
  void Fork(const Sequence& parent, int32_t choice, TokenChooser::Choice chosen);
  void Append(Sequence& sequence, TokenChooser::Choice chosen);
  void FinishPooling(Sequence& sequence);
  bool IsStop(const Sequence& sequence, int32_t token) const;

  // Events and ends. Finishing reports to every answer that the sequence stands for.
  void Emit(Sequence& sequence, TokenEvent event);
  void Finish(Sequence& sequence, TokenEvent event);
  void RetireFinished();
  void PublishStats(absl::Time iteration_start);

  scheduler::SequenceView ViewOf(const Sequence& sequence) const;
  std::vector<scheduler::SequenceView> RunningViews() const;
  scheduler::BatchLimits Limits() const;

  const model::Decoder& decoder_;
  WorkerPool& workers_;
  StageChain* const stages_;
  const EngineOptions options_;
  ExpertCounters counters_;
  trace::Recorder recorder_;
  TokenOutput output_;

  // Engine thread only.
  BlockManager blocks_;
  ModelRunner runner_;
  TokenChooser chooser_;
  MaskBuilder masks_;
  scheduler::FairQueue queue_;  // of waiting_
  scheduler::MicroBatchChooser cutter_;
  absl::flat_hash_map<uint64_t, SequencePtr> waiting_;  // new requests
  std::vector<SequencePtr> preempted_;                  // by precedence; they come back before new ones
  std::vector<SequencePtr> running_;                    // by precedence
  std::vector<SequencePtr> forked_;                     // of the step under way
  std::vector<TokenOutput::Item> events_;               // of the step under way
  absl::Time now_;                                      // when what is reported happened
  LogitsObserver step_observer_;
  int step_micro_batches_ = 0;
  // Numbers of steps, which no earlier process at the head of the same pipeline stages has used.
  uint64_t step_number_ = static_cast<uint64_t>(absl::ToUnixMicros(absl::Now()));
  const trace::Track track_;

  mutable absl::Mutex mutex_;
  Inbox inbox_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  EngineStats stats_ ABSL_GUARDED_BY(mutex_);
  bool idle_ ABSL_GUARDED_BY(mutex_) = true;  // nothing runs or waits, apart from the inbox
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  LogitsObserver observer_ ABSL_GUARDED_BY(mutex_);
  int micro_batches_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace tandem::router
