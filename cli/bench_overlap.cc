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

// The choice sees every cut and settles in so many steps at least, in so many at most, and in that time if it can.
constexpr int kLeastLearning = 60;
constexpr int kMostLearning = 600;
constexpr absl::Duration kLearning = absl::Seconds(2);
constexpr int kSlack = 8;      // steps more than asked for that a measurement may see

struct OverlapFlags {
  LogFlags log{.level = "warning"};
  ModelFlags model;
  std::vector<double> latencies_ms = {0, 0.5, 1, 2, 5, 10};
  std::vector<int> batches = {1, 8, 32, 64};
  std::vector<int> micro_batches = {1, 2, 3, 4, 8, kAutoMicroBatches};
  int context = 1;
  int steps = 4;
  int rounds = 5;
  bool json = false;
};

// A cut over a network and, right after it, without one.
struct Sample {
  StepTimes network;
  StepTimes free;
  OverlapFigures figures;
};

// One cut at one batch and latency, over the rounds.
struct Cell {
  double latency = 0;  // one way, seconds
  int batch = 0;
  int micro_batches = 0;  // asked for
  std::vector<Sample> rounds;

  // The median over the rounds.
  template <typename Figure>
  double Median(const Figure& figure) const {
    std::vector<double> values;
    for (const Sample& sample : rounds) {
      values.push_back(figure(sample));
    }
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }
  double Network(double StepTimes::*part) const {
    return Median([part](const Sample& sample) { return sample.network.*part; });
  }
  double Free(double StepTimes::*part) const {
    return Median([part](const Sample& sample) { return sample.free.*part; });
  }
  double Figure(double OverlapFigures::*figure) const {
    return Median([figure](const Sample& sample) { return sample.figures.*figure; });
  }
  double StepOverIdeal() const {
    return Median([](const Sample& sample) { return sample.network.step / sample.figures.ideal; });
  }
  // Median over the rounds of how much faster this cut's steps were than the other's in the same round.
  double SpeedupOver(const Cell& other) const {
    size_t round = 0;
    return Median([&](const Sample& sample) { return other.rounds[round++].network.step / sample.network.step; });
  }
};

std::string CutName(int micro_batches) {
  return micro_batches == kAutoMicroBatches ? "auto" : absl::StrCat(micro_batches);
}

Json ToJson(const Cell& cell, const Cell& whole) {
  Json json = {{"latency_ms", cell.latency * 1e3},
               {"batch", cell.batch},
               {"micro_batches", CutName(cell.micro_batches)},
               {"micro_batches_mean", cell.Network(&StepTimes::micro_batches)},
               {"step_ms", cell.Network(&StepTimes::step) * 1e3},
               {"router_ms", cell.Network(&StepTimes::router) * 1e3},
               {"expert_wait_ms", cell.Network(&StepTimes::expert_wait) * 1e3},
               {"wire_wait_ms", cell.Network(&StepTimes::wire_wait) * 1e3},
               {"free_step_ms", cell.Free(&StepTimes::step) * 1e3},
               {"free_router_ms", cell.Free(&StepTimes::router) * 1e3},
               {"free_experts_ms", cell.Free(&StepTimes::expert) * 1e3},
               {"ideal_ms", cell.Figure(&OverlapFigures::ideal) * 1e3},
               {"step_over_ideal", cell.StepOverIdeal()},
               {"gain", cell.SpeedupOver(whole)}};
  if (cell.latency > 0) {
    json["hidden"] = cell.Figure(&OverlapFigures::hidden);
    json["hideable"] = cell.Figure(&OverlapFigures::hideable);
  }
  return json;
}

void PrintHeader() {
  absl::PrintF("%8s %6s %5s %6s %9s %9s %9s %9s %7s %6s %8s %9s\n", "one way", "batch", "m", "mean", "step ms",
               "router ms", "experts", "ideal ms", "ratio", "gain", "hidden %", "hideable");
}

void Print(const Cell& cell, const Cell& whole) {
  absl::PrintF("%8.2f %6d %5s %6.2f %9.3f %9.3f %9.3f %9.3f %7.3f %6.3f", cell.latency * 1e3, cell.batch,
               CutName(cell.micro_batches), cell.Network(&StepTimes::micro_batches),
               cell.Network(&StepTimes::step) * 1e3, cell.Free(&StepTimes::router) * 1e3,
               cell.Free(&StepTimes::expert) * 1e3, cell.Figure(&OverlapFigures::ideal) * 1e3, cell.StepOverIdeal(),
               cell.SpeedupOver(whole));
  if (cell.latency > 0) {
    absl::PrintF(" %8.1f %9.1f", cell.Figure(&OverlapFigures::hidden) * 100,
                 cell.Figure(&OverlapFigures::hideable) * 100);
  }
  absl::PrintF("\n");
  std::fflush(stdout);
}

const Cell& WholeOf(const std::vector<Cell>& cells) {
  const auto whole = std::find_if(cells.begin(), cells.end(), [](const Cell& cell) { return cell.micro_batches == 1; });
  return whole == cells.end() ? cells.front() : *whole;
}

// What the choice costs against the best fixed cut, and against not cutting.
void PrintRegret(const std::vector<Cell>& cells) {
  const auto chosen = std::find_if(cells.begin(), cells.end(),
                                   [](const Cell& cell) { return cell.micro_batches == kAutoMicroBatches; });
  if (chosen == cells.end() || cells.size() == 1) {
    return;
  }
  double least = std::numeric_limits<double>::infinity();
  for (const Cell& cell : cells) {
    if (cell.micro_batches != kAutoMicroBatches) {
      least = std::min(least, chosen->SpeedupOver(cell));
    }
  }
  absl::PrintF("%8s auto: %.3f of the best cut's speed, %.3f of m = 1\n", "", least,
               chosen->SpeedupOver(WholeOf(cells)));
}

absl::Status Learn(DecodeLoad& load) {
  const absl::Time end = absl::Now() + kLearning;
  int steps = 0;
  while (steps < kLeastLearning || (steps < kMostLearning && absl::Now() < end)) {
    RETURN_IF_ERROR(load.Measure(kAutoMicroBatches, kLeastLearning / 2).status());
    steps += kLeastLearning / 2;
  }
  return absl::OkStatus();
}

// One cut with latency, without, and with it again, so that a machine that gets slower or faster treats both alike.
absl::StatusOr<Sample> MeasurePair(OverlapRig& rig, DecodeLoad& load, const OverlapFlags& flags, const Cell& cell) {
  rig.SetNetwork(absl::Seconds(cell.latency));
  if (cell.micro_batches == kAutoMicroBatches) {
    RETURN_IF_ERROR(Learn(load));
  }
  ASSIGN_OR_RETURN(const StepTimes before, load.Measure(cell.micro_batches, flags.steps));
  const int cut = static_cast<int>(std::lround(before.micro_batches));
  Sample sample;
  rig.SetNetwork(absl::ZeroDuration());
  ASSIGN_OR_RETURN(sample.free, load.Measure(cut, 2 * flags.steps));
  rig.SetNetwork(absl::Seconds(cell.latency));
  ASSIGN_OR_RETURN(const StepTimes after, load.Measure(cut, flags.steps));
  sample.network = Mean(before, after);
  sample.figures = Compare(sample.network, sample.free, cell.latency, rig.moe_layers());
  return sample;
}

// All cuts take turns on the same sequences, the fixed ones each round in another order. The choice comes last; it
// learns from its own steps alone.
absl::StatusOr<std::vector<Cell>> MeasureCuts(OverlapRig& rig, const OverlapFlags& flags, double latency, int batch) {
  std::vector<Cell> cells;
  for (const int micro_batches : flags.micro_batches) {
    if (micro_batches <= batch) {
      cells.push_back({.latency = latency, .batch = batch, .micro_batches = micro_batches});
    }
  }
  std::vector<Cell*> order;
  for (Cell& cell : cells) {
    order.push_back(&cell);
  }
  const auto fixed_end = std::stable_partition(order.begin(), order.end(),
                                               [](Cell* cell) { return cell->micro_batches != kAutoMicroBatches; });
  for (int round = 0; round <= flags.rounds; ++round) {
    ASSIGN_OR_RETURN(const std::unique_ptr<DecodeLoad> load, DecodeLoad::Start(rig.engine(), batch, flags.context));
    for (Cell* cell : order) {
      ASSIGN_OR_RETURN(cell->rounds.emplace_back(), MeasurePair(rig, *load, flags, *cell));
    }
    std::rotate(order.begin(), order.begin() + 1, fixed_end);
  }
  for (Cell& cell : cells) {
    cell.rounds.erase(cell.rounds.begin());  // it warmed up
  }
  return cells;
}

// Positions that a sequence may come to in MeasureCuts.
int64_t ContextOf(const OverlapFlags& flags, int largest_batch) {
  const int64_t prefill_steps = int64_t{largest_batch} * flags.context / kOverlapRigStepTokens + 1;
  const auto cuts = static_cast<int64_t>(flags.micro_batches.size());
  return flags.context + 2 * prefill_steps + cuts * (4 * flags.steps + 3 * kSlack) +
         kMostLearning / (kLeastLearning / 2) * (kLeastLearning / 2 + kSlack);
}

absl::Status Run(const OverlapFlags& flags) {
  RETURN_IF_ERROR(StartLogging("bench", flags.log));
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened,
                   OpenModel(flags.model.model_dir, flags.model.dtype, "auto", flags.model.wire_dtype));
  ASSIGN_OR_RETURN(OverlapRigOptions options, SeparateCpus());
  options.polled_network = true;
  options.max_sequences = *std::max_element(flags.batches.begin(), flags.batches.end());
  options.max_model_len = ContextOf(flags, options.max_sequences);
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
        json["results"].push_back(ToJson(cell, WholeOf(cells)));
        if (!flags.json) {
          Print(cell, WholeOf(cells));
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
