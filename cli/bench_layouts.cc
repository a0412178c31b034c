#include "cli/bench_layouts.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/status.h"
#include "cli/flags.h"
#include "cli/layout_measurement.h"
#include "cli/opened_model.h"
#include "cli/overlap_rig.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;

struct LayoutsFlags {
  LogFlags log{.level = "warning"};
  ModelFlags model;
  std::string grid;
  int rounds = 5;
  int steps = 16;
};

struct Cell {
  int workers = 1;
  double latency_ms = 0;
  LayoutRun run;

  const ReferenceLayout& reference() const {
    if (workers == 0) {
      return kInsideReference;
    }
    return run.micro_batches != 1 && latency_ms == 0 ? kCutReference : kWholeReference;
  }
};

// Runs of a layout in one round: short ones are more easily disturbed.
int RunsFor(int batch) { return batch <= 2 ? 5 : batch <= 8 ? 3 : 1; }

Cell CellOf(const ReferenceLayout& reference) { return {.workers = reference.workers, .run = reference.run}; }

absl::StatusOr<std::vector<Cell>> ReadGrid(const LayoutsFlags& flags) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.grid));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto bad = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(flags.grid, ": ", what));
  };
  if (!json.is_array() || json.empty()) {
    return bad("expected a JSON array of layouts");
  }
  std::vector<Cell> cells;
  for (const Json& entry : json) {
    Cell cell;
    for (const char* key : {"workers", "batch", "context", "latency_ms", "micro_batches"}) {
      if (!entry.is_object() || !entry.contains(key) || !entry[key].is_number() || entry[key] < 0) {
        return bad(absl::StrCat("layout ", cells.size(), ": \"", key, "\" must be a number that is not negative"));
      }
    }
    cell.workers = entry["workers"];
    cell.latency_ms = entry["latency_ms"];
    cell.run = {.batch = entry["batch"], .context = entry["context"], .micro_batches = entry["micro_batches"]};
    if (cell.workers > 16 || cell.run.batch < 1 || cell.run.context < 1 || cell.run.micro_batches > 8) {
      return bad(absl::StrCat("layout ", cells.size(), ": a value is out of range"));
    }
    cells.push_back(cell);
  }
  return cells;
}

// One rig for each number of workers and latency, made when it is first needed.
class Rigs {
 public:
  Rigs(std::shared_ptr<const OpenedModel> opened, OverlapRigOptions cpus, const std::vector<Cell>& cells, int steps)
      : opened_(std::move(opened)), options_(std::move(cpus)) {
    options_.max_model_len = 0;
    options_.max_sequences = 0;
    for (const ReferenceLayout& reference : {kWholeReference, kInsideReference, kCutReference}) {
      Include(CellOf(reference), 4 * steps);
    }
    for (const Cell& cell : cells) {
      Include(cell, steps);
    }
  }

  absl::StatusOr<router::Engine*> For(const Cell& cell) {
    std::unique_ptr<OverlapRig>& rig = rigs_[{cell.workers, cell.latency_ms}];
    if (rig == nullptr) {
      OverlapRigOptions options = options_;
      options.num_workers = cell.workers;
      options.network.latency = absl::Milliseconds(cell.latency_ms);
      ASSIGN_OR_RETURN(rig, OverlapRig::Start(opened_, options));
    }
    return &rig->engine();
  }

 private:
  void Include(const Cell& cell, int steps) {
    LayoutRun run = cell.run;
    run.steps = StepsFor(run.batch, steps);
    options_.max_sequences = std::max(options_.max_sequences, run.batch);
    options_.max_model_len = std::max(options_.max_model_len, ContextFor(run, options_.max_batch_tokens));
  }

  const std::shared_ptr<const OpenedModel> opened_;
  OverlapRigOptions options_;
  std::map<std::pair<int, double>, std::unique_ptr<OverlapRig>> rigs_;
};

absl::StatusOr<MeasuredStep> MeasureCell(Rigs& rigs, Cell cell, int steps) {
  ASSIGN_OR_RETURN(router::Engine* const engine, rigs.For(cell));
  cell.run.steps = StepsFor(cell.run.batch, steps);
  return MeasureLayout(*engine, cell.run);
}

// A layout between two runs of its reference.
struct Round {
  MeasuredStep layout;
  double reference = 0;  // a step's seconds, mean of before and after
};

template <typename T, typename Value>
T Middle(std::vector<T> of, const Value& value) {
  const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
  std::nth_element(of.begin(), middle, of.end(), [&](const T& a, const T& b) { return value(a) < value(b); });
  return *middle;
}

// The machine's speed may change at any time: what counts is how a layout compares with the reference at its sides, and
// of the rounds the one in the middle.
absl::StatusOr<Round> MeasureRounds(Rigs& rigs, const Cell& cell, const LayoutsFlags& flags) {
  RETURN_IF_ERROR(MeasureCell(rigs, cell, 4).status());  // warms up
  std::vector<Round> rounds;
  const Cell reference = CellOf(cell.reference());
  ASSIGN_OR_RETURN(MeasuredStep before, MeasureCell(rigs, reference, 4 * flags.steps));
  for (int number = 0; number < flags.rounds; ++number) {
    std::vector<MeasuredStep> runs;
    for (int run = 0; run < RunsFor(cell.run.batch); ++run) {
      ASSIGN_OR_RETURN(runs.emplace_back(), MeasureCell(rigs, cell, flags.steps));
    }
    ASSIGN_OR_RETURN(const MeasuredStep after, MeasureCell(rigs, reference, 4 * flags.steps));
    rounds.push_back({.layout = Middle(std::move(runs), [](const MeasuredStep& run) { return run.step; }),
                      .reference = (before.step + after.step) / 2});
    before = after;
  }
  return Middle(std::move(rounds), [](const Round& round) { return round.layout.step / round.reference; });
}

Json ToJson(const Cell& cell, const Round& round) {
  const MeasuredStep& step = round.layout;
  return {{"workers", cell.workers},
          {"batch", cell.run.batch},
          {"context", cell.run.context},
          {"latency_ms", cell.latency_ms},
          {"micro_batches", cell.run.micro_batches},
          {"micro_batches_mean", step.micro_batches},
          {"positions", step.positions},
          {"step_ms", step.step * 1e3},
          {"router_ms", step.router * 1e3},
          {"shared_ms", step.shared * 1e3},
          {"wait_ms", step.wait * 1e3},
          {"expert_ms", step.expert * 1e3},
          {"head_ms", step.head * 1e3},
          {"rest_ms", step.rest * 1e3},
          {"reference", cell.reference().name},
          {"reference_step_ms", round.reference * 1e3}};
}

absl::Status Run(const LayoutsFlags& flags) {
  RETURN_IF_ERROR(StartLogging("bench", flags.log));
  ASSIGN_OR_RETURN(const OverlapRigOptions cpus, SeparateCpus());
  ASSIGN_OR_RETURN(const std::vector<Cell> cells, ReadGrid(flags));
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened,
                   OpenModel(flags.model.model_dir, flags.model.dtype));
  Rigs rigs(opened, cpus, cells, flags.steps);
  Json json = {{"model", opened->name}, {"steps", flags.steps}, {"rounds", flags.rounds}, {"layouts", Json::array()}};
  for (size_t i = 0; i < cells.size(); ++i) {
    ASSIGN_OR_RETURN(const Round round, MeasureRounds(rigs, cells[i], flags));
    json["layouts"].push_back(ToJson(cells[i], round));
    absl::FPrintF(stderr, "layout %d/%d: %.3f ms a step, reference %.3f ms\n", static_cast<int>(i + 1),
                  static_cast<int>(cells.size()), json["layouts"].back()["step_ms"].get<double>(),
                  json["layouts"].back()["reference_step_ms"].get<double>());
  }
  std::printf("%s\n", json.dump(1).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddBenchLayouts(CLI::App& bench, CommandResult& result) {
  auto flags = std::make_shared<LayoutsFlags>();
  CLI::App* command = bench.add_subcommand(
      "layouts",
      "Decoding steps of many layouts on separate CPUs, each next to a reference layout of its kind, as JSON");
  AddModelFlags(*command, flags->model);
  command
      ->add_option(
          "--grid", flags->grid,
          "JSON array of {workers, batch, context, latency_ms, micro_batches}; micro_batches 0: chosen by cost")
      ->required();
  command
      ->add_option("--rounds", flags->rounds,
                   "Measurements of each layout; the median counts, by how it compares with its reference")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--steps", flags->steps, "Decode steps of each measurement")
      ->check(CLI::Range(4, 1 << 12))
      ->capture_default_str();
  AddLogFlags(*command, flags->log);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli
