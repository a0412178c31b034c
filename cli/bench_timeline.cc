// tandem bench timeline: records how prefill, decode, wire and experts overlap on a simulated network.
#include "cli/bench_timeline.h"

#include <memory>
#include <random>

#include "absl/strings/str_format.h"
#include "absl/synchronization/blocking_counter.h"
#include "base/status.h"
#include "cli/flags.h"
#include "cli/opened_model.h"
#include "cli/overlap_rig.h"
#include "cli/trace_file.h"

namespace tandem::cli {
namespace {

struct TimelineFlags {
  LogFlags log{.level = "warning"};
  ModelFlags model;
  std::string out;
  double latency_ms = 0.5;
  int workers = 2;
  int batch = 16;
  int prompt_tokens = 64;
  int chunk_tokens = 32;
  int micro_batches = 3;
};

constexpr int kDecodeSteps = 48;  // enough to run beside the whole prompt

// Queues a request whose end counts `unfinished` down; `started` is called with its first token.
absl::Status Submit(router::Engine& engine, int prompt_tokens, int answer_tokens,
                    std::shared_ptr<absl::BlockingCounter> unfinished, std::function<void()> started) {
  std::mt19937_64 random(1);
  router::GenerationRequest request;
  for (int i = 0; i < prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<int32_t>(random() % engine.vocab_size()));
  }
  request.sampling.temperature = 0;
  request.sampling.ignore_eos = true;
  request.sampling.max_tokens = answer_tokens;
  return engine
      .Submit(std::move(request),
              [unfinished, started, first = true](const router::TokenEvent& event) mutable {
                if (std::exchange(first, false)) {
                  started();
                }
                if (event.finish_reason != router::FinishReason::kNone) {
                  unfinished->DecrementCount();
                }
              })
      .status();
}

// Sequences decode; when all of them do, a prompt joins them.
absl::Status RunMix(router::Engine& engine, const TimelineFlags& flags) {
  const auto unfinished = std::make_shared<absl::BlockingCounter>(flags.batch + 1);
  const auto decoding = std::make_shared<absl::BlockingCounter>(flags.batch);
  for (int i = 0; i < flags.batch; ++i) {
    RETURN_IF_ERROR(Submit(engine, 1, kDecodeSteps, unfinished, [decoding] { decoding->DecrementCount(); }));
  }
  decoding->Wait();
  RETURN_IF_ERROR(Submit(engine, flags.prompt_tokens, 4, unfinished, [] {}));
  unfinished->Wait();
  return absl::OkStatus();
}

absl::Status Run(const TimelineFlags& flags) {
  RETURN_IF_ERROR(StartLogging("bench", flags.log));
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened,
                   OpenModel(flags.model.model_dir, flags.model.dtype));
  ASSIGN_OR_RETURN(OverlapRigOptions options, SeparateCpus());
  options.num_workers = flags.workers;
  options.max_sequences = flags.batch + 1;
  options.max_batch_tokens = flags.batch + flags.chunk_tokens;
  options.max_model_len = std::max(flags.prompt_tokens, kDecodeSteps) + 8;
  options.network.latency = absl::Milliseconds(flags.latency_ms);
  ASSIGN_OR_RETURN(const std::unique_ptr<OverlapRig> rig, OverlapRig::Start(opened, options));
  rig->engine().SetMicroBatches(flags.micro_batches);
  RETURN_IF_ERROR(RunMix(rig->engine(), flags));  // warms up
  ASSIGN_OR_RETURN(const std::unique_ptr<TraceFile> trace, TraceFile::Start(flags.out, rig->engine().recorder()));
  return RunMix(rig->engine(), flags);
}

}  // namespace

void AddBenchTimeline(CLI::App& bench, CommandResult& result) {
  auto flags = std::make_shared<TimelineFlags>();
  CLI::App* command = bench.add_subcommand(
      "timeline", "A trace of decoding sequences that a prompt joins, over a simulated network with separate CPUs");
  AddModelFlags(*command, flags->model);
  command->add_option("-o,--out", flags->out, "File of the trace, for https://ui.perfetto.dev")->required();
  command->add_option("--latency", flags->latency_ms, "One way, in milliseconds")
      ->check(CLI::Range(0.0, 1000.0))
      ->capture_default_str();
  command->add_option("--workers", flags->workers, "Expert workers")->check(CLI::Range(1, 16))->capture_default_str();
  command->add_option("--batch", flags->batch, "Sequences that decode")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--prompt-tokens", flags->prompt_tokens, "Length of the prompt")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_option("--chunk-tokens", flags->chunk_tokens, "Most tokens of it in one step")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_option("--micro-batches", flags->micro_batches, "Of each step; 0: chosen by cost")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  AddLogFlags(*command, flags->log);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli
