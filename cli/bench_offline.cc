#include "cli/bench_offline.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "cli/flags.h"
#include "cli/local_workers.h"
#include "cli/opened_model.h"
#include "cli/progress.h"
#include "cli/router_runtime.h"

namespace tandem::cli {
namespace {

struct OfflineFlags {
  LogFlags log{.level = "warning"};
  ModelFlags model;
  EngineFlags engine;
  std::vector<int> expert_workers = {0, 2};
  int worker_threads = 0;
  std::vector<int> batches = {1, 8};
  int prompt_tokens = 128;
  int output_tokens = 64;
  bool json = false;
};

struct Measurement {
  int expert_workers = 0;
  int batch = 0;
  double prefill_tokens_per_second = 0;
  double decode_tokens_per_second = 0;
};

// Collects one batch of generations; the engine's thread reports, the main thread waits.
class BatchTimer {
 public:
  explicit BatchTimer(int sequences) : waiting_for_first_(sequences), unfinished_(sequences) {}

  void OnEvent(bool first, const router::TokenEvent& event) {
    absl::MutexLock lock(&mutex_);
    if (first && --waiting_for_first_ == 0) {
      all_prefilled_ = absl::Now();
    }
    if (event.token.has_value() && waiting_for_first_ == 0 && !first) {
      ++decoded_;
    }
    if (event.finish_reason != router::FinishReason::kNone) {
      error_.Update(event.error);
      end_ = absl::Now();
      --unfinished_;
    }
  }

  absl::StatusOr<Measurement> Wait(absl::Time start, int64_t prompt_tokens) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(+[](int* unfinished) { return *unfinished == 0; }, &unfinished_));
    RETURN_IF_ERROR(error_);
    Measurement result;
    result.prefill_tokens_per_second =
        static_cast<double>(prompt_tokens) / absl::ToDoubleSeconds(all_prefilled_ - start);
    result.decode_tokens_per_second = static_cast<double>(decoded_) / absl::ToDoubleSeconds(end_ - all_prefilled_);
    return result;
  }

 private:
  absl::Mutex mutex_;
  int waiting_for_first_ ABSL_GUARDED_BY(mutex_);
  int unfinished_ ABSL_GUARDED_BY(mutex_);
  int64_t decoded_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time all_prefilled_ ABSL_GUARDED_BY(mutex_);
  absl::Time end_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<Measurement> MeasureBatch(router::Engine& engine, int batch, int prompt_tokens, int output_tokens) {
  std::mt19937 random(1);
  auto timer = std::make_shared<BatchTimer>(batch);
  std::vector<router::GenerationRequest> requests(batch);
  for (router::GenerationRequest& request : requests) {
    for (int i = 0; i < prompt_tokens; ++i) {
      request.prompt.push_back(static_cast<int32_t>(random() % engine.vocab_size()));
    }
    request.cache_salt = absl::FormatTime(absl::Now());  // nothing comes from an earlier measurement
    request.sampling.temperature = 0;
    request.sampling.ignore_eos = true;
    request.sampling.max_tokens = output_tokens;
  }
  const absl::Time start = absl::Now();
  for (router::GenerationRequest& request : requests) {
    auto first = std::make_shared<bool>(true);
    const auto sink = [timer, first](const router::TokenEvent& event) {
      timer->OnEvent(std::exchange(*first, false), event);
    };
    const auto submitted = engine.Submit(std::move(request), sink);
    RETURN_IF_ERROR(submitted.status());
  }
  ASSIGN_OR_RETURN(Measurement result, timer->Wait(start, int64_t{batch} * prompt_tokens));
  result.batch = batch;
  return result;
}

absl::StatusOr<std::vector<Measurement>> MeasureWorkers(const OfflineFlags& flags,
                                                        const std::shared_ptr<const OpenedModel>& opened, int workers) {
  ASSIGN_OR_RETURN(const std::unique_ptr<LocalWorkers> local,
                   LocalWorkers::Start({.count = workers,
                                        .model_dir = flags.model.model_dir,
                                        .dtype = flags.model.dtype,
                                        .wire_dtype = flags.model.wire_dtype,
                                        .threads = flags.worker_threads,
                                        .shared_memory = flags.engine.expert_transport != "grpc",
                                        .log = flags.log}));
  RETURN_IF_ERROR(local->AwaitReady(absl::Now() + absl::Minutes(10)));
  Progress progress;
  ASSIGN_OR_RETURN(const std::unique_ptr<RouterRuntime> runtime,
                   RouterRuntime::Start(opened, flags.engine, flags.model.threads, local->addresses(), absl::Minutes(30),
                                        progress.AsCallback()));
  progress.Finish();
  std::vector<Measurement> results;
  for (const int batch : flags.batches) {
    // Once for warming up: page faults, thread wake-ups, connection windows.
    RETURN_IF_ERROR(MeasureBatch(runtime->engine(), batch, std::min(flags.prompt_tokens, 32), 4).status());
    ASSIGN_OR_RETURN(Measurement result,
                     MeasureBatch(runtime->engine(), batch, flags.prompt_tokens, flags.output_tokens));
    result.expert_workers = workers;
    results.push_back(result);
  }
  return results;
}

absl::Status Run(const OfflineFlags& flags) {
  RETURN_IF_ERROR(StartLogging("bench", flags.log));
  if (!flags.engine.trace.empty() && flags.expert_workers.size() > 1) {
    return absl::InvalidArgumentError("--trace is of one run: give one number of --expert-workers");
  }
  ASSIGN_OR_RETURN(
      const std::shared_ptr<const OpenedModel> opened,
      OpenModel(flags.model.model_dir, flags.model.dtype, flags.engine.kv_cache_dtype, flags.model.wire_dtype));
  nlohmann::ordered_json json = {{"model", opened->name},
                                 {"dtype", std::string(compute::DTypeName(opened->dtypes.weights))},
                                 {"wire_dtype", std::string(compute::DTypeName(opened->dtypes.wire))},
                                 {"kv_cache_dtype", std::string(compute::DTypeName(opened->dtypes.kv_cache))},
                                 {"prompt_tokens", flags.prompt_tokens},
                                 {"output_tokens", flags.output_tokens},
                                 {"results", nlohmann::ordered_json::array()}};
  if (!flags.json) {
    absl::PrintF("%s, %d prompt tokens, %d output tokens a sequence\n", opened->name, flags.prompt_tokens,
                 flags.output_tokens);
    absl::PrintF("%-15s %6s %16s %16s\n", "expert workers", "batch", "prefill tok/s", "decode tok/s");
  }
  for (const int workers : flags.expert_workers) {
    ASSIGN_OR_RETURN(const std::vector<Measurement> results, MeasureWorkers(flags, opened, workers));
    for (const Measurement& result : results) {
      json["results"].push_back({{"expert_workers", result.expert_workers},
                                 {"batch", result.batch},
                                 {"prefill_tokens_per_second", result.prefill_tokens_per_second},
                                 {"decode_tokens_per_second", result.decode_tokens_per_second}});
      if (!flags.json) {
        absl::PrintF("%-15d %6d %16.1f %16.1f\n", result.expert_workers, result.batch, result.prefill_tokens_per_second,
                     result.decode_tokens_per_second);
        std::fflush(stdout);
      }
    }
  }
  if (flags.json) {
    std::printf("%s\n", json.dump(2).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddBenchOffline(CLI::App& bench, CommandResult& result) {
  auto flags = std::make_shared<OfflineFlags>();
  CLI::App* command = bench.add_subcommand("offline", "Prefill and decode tokens/s of the engine on random prompts");
  AddModelFlags(*command, flags->model);
  command->add_option("--expert-workers", flags->expert_workers, "Numbers of local expert workers to measure")
      ->delimiter(',')
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  command->add_option("--worker-threads", flags->worker_threads, "Compute threads of each; 0: as tandem serve has it")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--batch", flags->batches, "Numbers of sequences at a time")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--prompt-tokens,--input-len", flags->prompt_tokens, "Length of each prompt")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--output-tokens,--output-len", flags->output_tokens, "Length of each answer")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object");
  AddEngineFlags(*command, flags->engine);
  AddLogFlags(*command, flags->log);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli
