// tandem bench overlap: how much of the communication with experts a step hides, for numbers of micro-batches and
// latencies of a simulated network.
#include "cli/bench_overlap.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/cpu_affinity.h"
#include "base/status.h"
#include "cli/flags.h"
#include "cli/opened_model.h"
#include "cli/overlap_measurement.h"
#include "cli/overlap_rig.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;

struct OverlapFlags {
  LogFlags log{.level = "warning"};
  ModelFlags model;
  std::vector<double> latencies_ms = {0, 0.5, 1, 2, 5, 10};
  std::vector<int> batches = {1, 8, 32, 64};
  std::vector<int> micro_batches = {1, 2, 3, 4, 8, kAutoMicroBatches};
  int context = 1;
  int steps = 24;
  int rounds = 3;
  bool json = false;
};

// One cut at one batch and latency: medians over the rounds.
struct Cell {
  double latency = 0;  // one way, seconds
  int batch = 0;
  int micro_batches = 0;  // asked for
  StepTimes network;
  StepTimes free;  // the same cut where frames arrive at once
  OverlapFigures figures;
};

std::string CutName(int micro_batches) {
  return micro_batches == kAutoMicroBatches ? "auto" : absl::StrCat(micro_batches);
}

Json ToJson(const Cell& cell) {
  Json json = {{"latency_ms", cell.latency * 1e3},
               {"batch", cell.batch},
               {"micro_batches", CutName(cell.micro_batches)},
               {"micro_batches_mean", cell.network.micro_batches},
               {"step_ms", cell.network.step * 1e3},
               {"router_ms", cell.network.router * 1e3},
               {"expert_wait_ms", cell.network.expert_wait * 1e3},
               {"wire_wait_ms", cell.network.wire_wait * 1e3},
               {"free_step_ms", cell.free.step * 1e3},
               {"free_router_ms", cell.free.router * 1e3},
               {"free_experts_ms", cell.free.expert * 1e3},
               {"ideal_ms", cell.figures.ideal * 1e3},
               {"step_over_ideal", cell.network.step / cell.figures.ideal}};
  if (cell.latency > 0) {
    json["hidden"] = cell.figures.hidden;
    json["hideable"] = cell.figures.hideable;
  }
  return json;
}

void PrintHeader() {
  absl::PrintF("%8s %6s %5s %6s %9s %9s %9s %9s %7s %8s %9s\n", "one way", "batch", "m", "mean", "step ms", "router ms",
               "experts", "ideal ms", "ratio", "hidden %", "hideable");
}

void Print(const Cell& cell) {
  absl::PrintF("%8.2f %6d %5s %6.2f %9.3f %9.3f %9.3f %9.3f %7.3f", cell.latency * 1e3, cell.batch,
               CutName(cell.micro_batches), cell.network.micro_batches, cell.network.step * 1e3,
               cell.network.router * 1e3, cell.free.expert * 1e3, cell.figures.ideal * 1e3,
               cell.network.step / cell.figures.ideal);
  if (cell.latency > 0) {
    absl::PrintF(" %8.1f %9.1f", cell.figures.hidden * 100, cell.figures.hideable * 100);
  }
  absl::PrintF("\n");
  std::fflush(stdout);
}

// What the choice costs against the best fixed cut, and against not cutting.
void PrintRegret(const std::vector<Cell>& cells) {
  const auto chosen = std::find_if(cells.begin(), cells.end(),
                                   [](const Cell& cell) { return cell.micro_batches == kAutoMicroBatches; });
  double best = std::numeric_limits<double>::infinity();
  double whole = 0;
  for (const Cell& cell : cells) {
    if (cell.micro_batches != kAutoMicroBatches) {
      best = std::min(best, cell.network.step);
      whole = cell.micro_batches == 1 ? cell.network.step : whole;
    }
  }
  if (chosen != cells.end() && whole > 0) {
    absl::PrintF("%8s auto: %.3f of the best cut's speed, %.3f of m = 1; best cut %.3f of m = 1\n", "",
                 best / chosen->network.step, whole / chosen->network.step, whole / best);
  }
}

const StepTimes& MedianByStep(std::vector<StepTimes>& times) {
  std::nth_element(times.begin(), times.begin() + static_cast<int64_t>(times.size() / 2), times.end(),
                   [](const StepTimes& a, const StepTimes& b) { return a.step < b.step; });
  return times[times.size() / 2];
}

// All cuts take turns with and without latency, so that a machine that changes its speed treats them alike. The choice
// comes after the fixed cuts: its costs are then those of this latency.
absl::StatusOr<std::vector<Cell>> MeasureCuts(OverlapRig& rig, const OverlapFlags& flags, double latency, int batch) {
  const DecodeRun run = {.batch = batch, .context = flags.context, .steps = flags.steps};
  std::vector<Cell> cells;
  for (const int micro_batches : flags.micro_batches) {
    if (micro_batches <= batch) {
      cells.push_back({.latency = latency, .batch = batch, .micro_batches = micro_batches});
    }
  }
  std::stable_partition(cells.begin(), cells.end(),
                        [](const Cell& cell) { return cell.micro_batches != kAutoMicroBatches; });
  std::vector<std::vector<StepTimes>> with(cells.size());
  std::vector<std::vector<StepTimes>> without(cells.size());
  for (int round = -1; round < flags.rounds; ++round) {  // the first one warms up
    rig.SetNetwork(absl::Seconds(latency));
    std::vector<int> cuts;
    for (size_t i = 0; i < cells.size(); ++i) {
      ASSIGN_OR_RETURN(const StepTimes times, MeasureDecode(rig.engine(), run, cells[i].micro_batches));
      cuts.push_back(static_cast<int>(std::lround(times.micro_batches)));
      with[i].push_back(times);
    }
    rig.SetNetwork(absl::ZeroDuration());
    for (size_t i = 0; i < cells.size(); ++i) {
      ASSIGN_OR_RETURN(const StepTimes times, MeasureDecode(rig.engine(), run, cuts[i]));
      without[i].push_back(times);
    }
    if (round < 0) {
      with.assign(cells.size(), {});
      without.assign(cells.size(), {});
    }
  }
  for (size_t i = 0; i < cells.size(); ++i) {
    cells[i].network = MedianByStep(with[i]);
    cells[i].free = MedianByStep(without[i]);
    cells[i].figures = Compare(cells[i].network, cells[i].free, latency, rig.moe_layers());
  }
  return cells;
}

absl::Status Run(const OverlapFlags& flags) {
  RETURN_IF_ERROR(StartLogging("bench", flags.log));
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened,
                   OpenModel(flags.model.model_dir, flags.model.dtype, "auto", flags.model.wire_dtype));
  ASSIGN_OR_RETURN(OverlapRigOptions options, SeparateCpus());
  options.polled_network = true;
  options.max_sequences = *std::max_element(flags.batches.begin(), flags.batches.end());
  options.max_model_len = std::max<int64_t>(64, flags.context + flags.steps + 1);
  Json json = {{"model", opened->name},
               {"router_cpus", options.router_cpus.size()},
               {"worker_cpus", options.worker_cpus.size()},
               {"context", flags.context},
               {"steps", flags.steps},
               {"rounds", flags.rounds},
               {"results", Json::array()}};
  if (!flags.json) {
    absl::PrintF("%s, decoding; router and experts pinned to %d CPUs each\n", opened->name,
                 static_cast<int>(options.router_cpus.size()));
    PrintHeader();
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<OverlapRig> rig, OverlapRig::Start(opened, options));
  for (const double latency_ms : flags.latencies_ms) {
    for (const int batch : flags.batches) {
      ASSIGN_OR_RETURN(const std::vector<Cell> cells, MeasureCuts(*rig, flags, latency_ms / 1e3, batch));
      for (const Cell& cell : cells) {
        json["results"].push_back(ToJson(cell));
        if (!flags.json) {
          Print(cell);
        }
      }
      if (!flags.json) {
        PrintRegret(cells);
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
  command->add_option("--context", flags->context, "Prompt tokens of each sequence")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_option("--rounds", flags->rounds, "Measurements of each cell; the median counts")
      ->check(CLI::Range(1, 1000))
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
