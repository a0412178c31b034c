// tandem bench accounting: is what the engine reports of its time true?
//
// Decodes over a simulated network whose delays are known, and holds the engine's statistics against two truths that do
// not come from them: the exposed communication against the injected delays (m = 1 hides nothing) and against the same
// steps without any delay, taken in turns; the sum of the parts against the distance between tokens. Router and experts
// have CPUs of their own and never sleep, as waking up would prolong a step by more than its delays.
#include "cli/bench_accounting.h"

#include <algorithm>
#include <cmath>
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

struct AccountingFlags {
  LogFlags log{.level = "warning"};
  ModelFlags model;
  std::vector<double> latencies_ms = {1, 2, 5};
  std::vector<int> micro_batches = {1, 2, 3, 4};
  double bytes_per_second = 0;
  int batch = 16;
  int steps = 32;
  int rounds = 5;
  bool json = false;
};

// Means over the steps of a run, in seconds. The engine's words, but for `step` and `injected`.
struct Account {
  double step = 0;      // from one token to the next
  double injected = 0;  // delay of all the frames, one after the other
  double attention = 0;
  double experts = 0;  // waits for experts that a free wire would leave
  double exposed = 0;
  double bubble = 0;
  double host = 0;  // lm_head, sampling, planning
  double wire = 0;  // all communication

  double Sum() const { return attention + experts + exposed + bubble + host; }
};

Account Between(const router::EngineStats& before, const router::EngineStats& after) {
  const auto n = static_cast<double>(after.steps - before.steps);
  const auto mean = [&](double router::EngineStats::*seconds) { return (after.*seconds - before.*seconds) / n; };
  using Stats = router::EngineStats;
  Account account;
  account.attention = mean(&Stats::router_seconds) + mean(&Stats::shared_seconds);
  account.exposed = mean(&Stats::exposed_seconds);
  account.experts = mean(&Stats::expert_wait_seconds) + mean(&Stats::wire_wait_seconds) - account.exposed;
  account.bubble = mean(&Stats::bubble_seconds);
  account.host = mean(&Stats::logits_seconds) + mean(&Stats::sample_seconds) + mean(&Stats::plan_seconds);
  account.wire = mean(&Stats::wire_seconds);
  return account;
}

uint64_t BytesMoved(const router::Engine& engine) {
  const router::ExchangeCounters::Worker& worker = engine.exchanges().Get(0);
  return worker.dispatch_bytes + worker.combine_bytes;
}

// What the sequences of a run tell.
struct Watch {
  explicit Watch(int sequences) : started(sequences), finished(sequences) {}
  absl::BlockingCounter started;
  absl::BlockingCounter finished;
  std::vector<absl::Time> tokens;  // of the first sequence; read when it has finished
};

absl::StatusOr<Account> Measure(OverlapRig& rig, const AccountingFlags& flags, double latency, int micro_batches) {
  router::Engine& engine = rig.engine();
  engine.SetMicroBatches(micro_batches);
  std::mt19937_64 random(1);
  const auto watch = std::make_shared<Watch>(flags.batch);
  for (int i = 0; i < flags.batch; ++i) {
    router::GenerationRequest request;
    request.prompt = {static_cast<int32_t>(random() % engine.vocab_size())};
    request.sampling.temperature = 0;
    request.sampling.ignore_eos = true;
    request.sampling.max_tokens = flags.steps;
    const auto id =
        engine.Submit(std::move(request), [watch, i, first = true](const router::TokenEvent& event) mutable {
          if (i == 0) {
            watch->tokens.push_back(event.time);
          }
          if (std::exchange(first, false)) {
            watch->started.DecrementCount();
          }
          if (event.finish_reason != router::FinishReason::kNone) {
            watch->finished.DecrementCount();
          }
        });
    RETURN_IF_ERROR(id.status());
  }
  watch->started.Wait();
  const router::EngineStats before = engine.Stats();
  const uint64_t bytes_before = BytesMoved(engine);
  watch->finished.Wait();
  const router::EngineStats after = engine.Stats();
  Account account = Between(before, after);
  // The first steps may have had fewer sequences.
  const auto skipped = std::min<size_t>(2, watch->tokens.size() - 2);
  account.step = absl::ToDoubleSeconds(watch->tokens.back() - watch->tokens[skipped]) /
                 static_cast<double>(watch->tokens.size() - 1 - skipped);
  account.injected = 2 * latency * rig.moe_layers() * micro_batches;
  if (flags.bytes_per_second > 0 && latency > 0) {
    const auto bytes = static_cast<double>(BytesMoved(engine) - bytes_before);
    account.injected += bytes / flags.bytes_per_second / static_cast<double>(after.steps - before.steps);
  }
  return account;
}

// The least disturbed one: whatever else the machine does only adds to a step.
const Account& Fastest(const std::vector<Account>& runs) {
  return *std::min_element(runs.begin(), runs.end(),
                           [](const Account& a, const Account& b) { return a.step < b.step; });
}

struct Cell {
  double latency = 0;
  int micro_batches = 0;
  Account network;
  Account free;  // frames arrive at once
  // By how much the step is longer than with a free wire: what exposed communication means.
  double Truth() const { return network.step - free.step; }
};

Json ToJson(const Account& account) {
  return {{"step_ms", account.step * 1e3},         {"attention_ms", account.attention * 1e3},
          {"experts_ms", account.experts * 1e3},   {"wire_exposed_ms", account.exposed * 1e3},
          {"bubble_ms", account.bubble * 1e3},     {"host_ms", account.host * 1e3},
          {"sum_ms", account.Sum() * 1e3},         {"sum_over_step", account.Sum() / account.step},
          {"communication_ms", account.wire * 1e3}};
}

Json ToJson(const Cell& cell) {
  Json json = {{"latency_ms", cell.latency * 1e3},
               {"micro_batches", cell.micro_batches},
               {"network", ToJson(cell.network)},
               {"free", ToJson(cell.free)},
               {"injected_ms", cell.network.injected * 1e3},
               {"communication_over_injected", cell.network.wire / cell.network.injected},
               {"truth_ms", cell.Truth() * 1e3},
               {"exposed_over_truth", cell.network.exposed / cell.Truth()},
               {"error_of_step", (cell.network.exposed - cell.Truth()) / cell.network.step}};
  if (cell.micro_batches == 1) {
    json["exposed_over_injected"] = cell.network.exposed / cell.network.injected;
  }
  return json;
}

void Print(const Cell& cell) {
  const Account& a = cell.network;
  absl::PrintF("%8.2f %3d %9.3f %9.3f %9.3f %9.3f %9.3f %9.3f %8.4f %9.3f %9.3f %8.4f\n", cell.latency * 1e3,
               cell.micro_batches, a.step * 1e3, a.attention * 1e3, a.experts * 1e3, a.exposed * 1e3, a.bubble * 1e3,
               a.host * 1e3, a.Sum() / a.step, a.injected * 1e3, cell.Truth() * 1e3, a.exposed / cell.Truth());
  std::fflush(stdout);
}

// Runs with and without the network take turns, so that a machine that changes its speed treats them alike.
absl::StatusOr<Cell> MeasureCell(OverlapRig& rig, const AccountingFlags& flags, double latency, int micro_batches) {
  std::vector<Account> with;
  std::vector<Account> without;
  for (int round = 0; round <= flags.rounds; ++round) {
    rig.SetNetwork(absl::Seconds(latency), flags.bytes_per_second);
    ASSIGN_OR_RETURN(const Account slow, Measure(rig, flags, latency, micro_batches));
    rig.SetNetwork(absl::ZeroDuration());
    ASSIGN_OR_RETURN(const Account fast, Measure(rig, flags, 0, micro_batches));
    if (round > 0) {  // the first one warms up
      with.push_back(slow);
      without.push_back(fast);
    }
  }
  return Cell{latency, micro_batches, Fastest(with), Fastest(without)};
}

absl::Status Run(const AccountingFlags& flags) {
  RETURN_IF_ERROR(StartLogging("bench", flags.log));
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened,
                   OpenModel(flags.model.model_dir, flags.model.dtype));
  ASSIGN_OR_RETURN(OverlapRigOptions options, SeparateCpus());
  options.max_sequences = flags.batch;
  options.max_model_len = std::max<int64_t>(64, flags.steps + 2);
  options.polled_network = true;
  ASSIGN_OR_RETURN(const std::unique_ptr<OverlapRig> rig, OverlapRig::Start(opened, options));
  Json json = {{"model", opened->name},
               {"batch", flags.batch},
               {"steps", flags.steps},
               {"rounds", flags.rounds},
               {"bytes_per_second", flags.bytes_per_second},
               {"results", Json::array()}};
  if (!flags.json) {
    absl::PrintF("%8s %3s %9s %9s %9s %9s %9s %9s %8s %9s %9s %8s\n", "one way", "m", "step ms", "attention", "experts",
                 "exposed", "bubble", "host", "sum/step", "injected", "truth", "/truth");
  }
  for (const double latency_ms : flags.latencies_ms) {
    for (const int micro_batches : flags.micro_batches) {
      ASSIGN_OR_RETURN(const Cell cell, MeasureCell(*rig, flags, latency_ms / 1e3, micro_batches));
      json["results"].push_back(ToJson(cell));
      if (!flags.json) {
        Print(cell);
      }
    }
  }
  if (flags.json) {
    std::printf("%s\n", json.dump(2).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddBenchAccounting(CLI::App& bench, CommandResult& result) {
  auto flags = std::make_shared<AccountingFlags>();
  CLI::App* command = bench.add_subcommand(
      "accounting", "Whether the engine tells the truth about its time, over a simulated network with known delays");
  AddModelFlags(*command, flags->model);
  command->add_option("--latency", flags->latencies_ms, "One-way latencies in milliseconds")
      ->delimiter(',')
      ->check(CLI::Range(0.001, 1000.0))
      ->capture_default_str();
  command->add_option("--bandwidth", flags->bytes_per_second, "Bytes a second each way; 0: unlimited")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  command->add_option("--micro-batches", flags->micro_batches, "Numbers of micro-batches")
      ->delimiter(',')
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  command->add_option("--batch", flags->batch, "Sequences at a time")
      ->check(CLI::Range(8, 4096))
      ->capture_default_str();
  command->add_option("--steps", flags->steps, "Decode steps of each run")
      ->check(CLI::Range(8, 1 << 16))
      ->capture_default_str();
  command->add_option("--rounds", flags->rounds, "Runs of each cell; the fastest counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object");
  AddLogFlags(*command, flags->log);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli
