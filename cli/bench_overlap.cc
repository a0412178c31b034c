// tandem bench overlap: how much of the communication with experts a step hides, for numbers of micro-batches and
// latencies of a simulated network.
#include "cli/bench_overlap.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_format.h"
#include "absl/synchronization/blocking_counter.h"
#include "base/cpu_affinity.h"
#include "base/status.h"
#include "cli/flags.h"
#include "cli/opened_model.h"
#include "cli/overlap_rig.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kAuto = 0;

struct OverlapFlags {
  LogFlags log{.level = "warning"};
  ModelFlags model;
  std::vector<double> latencies_ms = {0, 0.5, 1, 2, 5, 10};
  std::vector<int> batches = {1, 8, 32, 64};
  std::vector<int> micro_batches = {1, 2, 3, 4, 8, kAuto};
  int steps = 40;
  bool json = false;
};

// Means over the steps of one run, in seconds.
struct Cell {
  double latency = 0;  // one way
  int batch = 0;
  int micro_batches = 0;  // asked for; kAuto
  double chosen = 0;      // mean number that steps were cut into
  double step = 0;
  double router = 0;
  double expert_wait = 0;
  double wire_wait = 0;
  double wire = 0;  // all of the communication
};

// Decodes `batch` sequences for some steps, all at once.
absl::Status Decode(router::Engine& engine, int batch, int steps, uint64_t seed) {
  std::mt19937_64 random(seed);
  auto unfinished = std::make_shared<absl::BlockingCounter>(batch);
  for (int i = 0; i < batch; ++i) {
    router::GenerationRequest request;
    request.prompt = {static_cast<int32_t>(random() % engine.vocab_size())};
    request.sampling.temperature = 0;
    request.sampling.ignore_eos = true;
    request.sampling.max_tokens = steps;
    const auto id = engine.Submit(std::move(request), [unfinished](const router::TokenEvent& event) {
      if (event.finish_reason != router::FinishReason::kNone) {
        unfinished->DecrementCount();
      }
    });
    RETURN_IF_ERROR(id.status());
  }
  unfinished->Wait();
  return absl::OkStatus();
}

absl::StatusOr<Cell> Measure(router::Engine& engine, double latency, int batch, int micro_batches, int steps) {
  engine.SetMicroBatches(micro_batches);
  // Once for warming up, and for the cost model to learn this kind of step.
  RETURN_IF_ERROR(Decode(engine, batch, std::max(steps / 2, 16), 1));
  const router::EngineStats before = engine.Stats();
  RETURN_IF_ERROR(Decode(engine, batch, steps, 2));
  const router::EngineStats after = engine.Stats();
  const auto n = static_cast<double>(after.steps - before.steps);
  Cell cell = {.latency = latency, .batch = batch, .micro_batches = micro_batches};
  cell.chosen = static_cast<double>(after.micro_batches - before.micro_batches) / n;
  cell.router =
      (after.router_seconds - before.router_seconds + after.shared_seconds - before.shared_seconds) / n;
  cell.expert_wait = (after.expert_wait_seconds - before.expert_wait_seconds) / n;
  cell.wire_wait = (after.wire_wait_seconds - before.wire_wait_seconds) / n;
  cell.wire = (after.wire_seconds - before.wire_seconds) / n;
  cell.step = cell.router + cell.expert_wait + cell.wire_wait;
  return cell;
}

Json ToJson(const Cell& cell) {
  return {{"latency_ms", cell.latency * 1e3},
          {"batch", cell.batch},
          {"micro_batches", cell.micro_batches == kAuto ? Json("auto") : Json(cell.micro_batches)},
          {"micro_batches_mean", cell.chosen},
          {"step_ms", cell.step * 1e3},
          {"router_ms", cell.router * 1e3},
          {"expert_wait_ms", cell.expert_wait * 1e3},
          {"wire_wait_ms", cell.wire_wait * 1e3},
          {"wire_ms", cell.wire * 1e3}};
}

void Print(const Cell& cell) {
  const double share = cell.wire > 0 ? 100 * (1 - cell.wire_wait / cell.wire) : 0;
  absl::PrintF("%9.2f %6d %5s %6.2f %10.3f %10.3f %12.3f %11.3f %9.1f\n", cell.latency * 1e3, cell.batch,
               cell.micro_batches == kAuto ? "auto" : absl::StrFormat("%d", cell.micro_batches), cell.chosen,
               cell.step * 1e3, cell.router * 1e3, cell.expert_wait * 1e3, cell.wire_wait * 1e3, share);
  std::fflush(stdout);
}

absl::Status Run(const OverlapFlags& flags) {
  RETURN_IF_ERROR(StartLogging("bench", flags.log));
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened,
                   OpenModel(flags.model.model_dir, flags.model.dtype, "auto", flags.model.wire_dtype));
  const std::vector<int> cpus = AvailableCpus();
  if (cpus.size() < 2) {
    return absl::FailedPreconditionError("overlap needs two CPUs, one for the router and one for the experts");
  }
  OverlapRigOptions options;
  options.router_cpus.assign(cpus.begin(), cpus.begin() + static_cast<int64_t>(cpus.size() / 2));
  options.worker_cpus.assign(cpus.begin() + static_cast<int64_t>(cpus.size() / 2), cpus.end());
  options.max_sequences = *std::max_element(flags.batches.begin(), flags.batches.end());
  options.max_model_len = std::max<int64_t>(64, flags.steps + 2);
  Json json = {{"model", opened->name},
               {"router_cpus", options.router_cpus.size()},
               {"worker_cpus", options.worker_cpus.size()},
               {"steps", flags.steps},
               {"results", Json::array()}};
  if (!flags.json) {
    absl::PrintF("%s, decoding; router and experts pinned to %d CPUs each\n", opened->name,
                 static_cast<int>(options.router_cpus.size()));
    absl::PrintF("%9s %6s %5s %6s %10s %10s %12s %11s %9s\n", "one way ms", "batch", "m", "mean", "step ms",
                 "router ms", "experts ms", "wire ms", "hidden %");
  }
  for (const double latency_ms : flags.latencies_ms) {
    options.network.latency = absl::Milliseconds(latency_ms);
    ASSIGN_OR_RETURN(const std::unique_ptr<OverlapRig> rig, OverlapRig::Start(opened, options));
    for (const int batch : flags.batches) {
      for (const int micro_batches : flags.micro_batches) {
        if (micro_batches > batch) {
          continue;
        }
        ASSIGN_OR_RETURN(const Cell cell,
                         Measure(rig->engine(), latency_ms / 1e3, batch, micro_batches, flags.steps));
        json["results"].push_back(ToJson(cell));
        if (!flags.json) {
          Print(cell);
        }
      }
    }
  }
  if (flags.json) {
    std::printf("%s\n", json.dump(2).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddBenchOverlap(CLI::App& bench, CommandResult& result) {
  auto flags = std::make_shared<OverlapFlags>();
  CLI::App* command = bench.add_subcommand(
      "overlap", "How much communication with experts is hidden, over a simulated network with separate CPUs");
  AddModelFlags(*command, flags->model);
  command->add_option("--latency", flags->latencies_ms, "One-way latencies in milliseconds")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 1000.0))
      ->capture_default_str();
  command->add_option("--batch", flags->batches, "Numbers of sequences at a time")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--micro-batches", flags->micro_batches, "Numbers of micro-batches; 0: chosen by cost")
      ->delimiter(',')
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  command->add_option("--steps", flags->steps, "Decode steps of each measurement")
      ->check(CLI::Range(4, 1 << 16))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object");
  AddLogFlags(*command, flags->log);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli
