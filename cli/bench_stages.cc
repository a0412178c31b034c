// tandem bench stages: ways of running pipeline stages beside each other, in the simulator and, with a model, on the
// engine.
#include "cli/bench_stages.h"

#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "base/cpu_affinity.h"
#include "base/status.h"
#include "cli/flags.h"
#include "cli/opened_model.h"
#include "cli/overlap_measurement.h"
#include "cli/stage_comparison.h"
#include "cli/stage_rig.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;
using scheduler::StagePolicy;

struct StagesFlags {
  LogFlags log{.level = "warning"};
  ComparedCosts costs;
  std::vector<int> stages = {2, 4, 8};
  std::vector<int> micro_batches = {1, 2, 4, 8};
  int layers = 32;
  // Measured.
  std::string model_dir;
  std::string dtype = "auto";
  int batch = 16;
  int steps = 100;
  int rounds = 3;
  bool json = false;
};

// The engine on stages with a CPU each, decoding.
struct Measured {
  StagePolicy policy = StagePolicy::kOneWay;
  int stages = 1;
  int micro_batches = 1;
  double step = 0;
  double busy = 0;       // of all stages together
  double bubble = 0;     // share of the stages' time
  double predicted = 0;  // step by the simulator, for the same work
};

Json ToJson(const ComparedRow& row) {
  return {
      {"load", row.load},        {"policy", row.policy}, {"stages", row.stages}, {"micro_batches", row.micro_batches},
      {"step", row.step},        {"ideal", row.ideal},   {"bubble", row.bubble}, {"weights_share", row.weights},
      {"resident", row.resident}};
}

Json ToJson(const Measured& run) {
  return {{"policy", std::string(scheduler::StagePolicyName(run.policy))},
          {"stages", run.stages},
          {"micro_batches", run.micro_batches},
          {"step_ms", run.step * 1e3},
          {"busy_ms", run.busy * 1e3},
          {"bubble", run.bubble},
          {"simulated_step_ms", run.predicted * 1e3}};
}

// The work that was measured, spread evenly over layers and micro-batches.
double Predict(const Measured& run, int layers) {
  scheduler::StageSimulation simulation;
  simulation.layout = {.num_stages = run.stages, .num_layers = layers, .policy = run.policy};
  simulation.shape.experts.assign(layers, false);
  std::vector<scheduler::SimulatedMicroBatch> micro_batches(run.micro_batches);
  for (int i = 0; i < run.micro_batches; ++i) {
    micro_batches[i].direction = i * simulation.layout.num_directions() / run.micro_batches;
    micro_batches[i].cost.router = run.busy / (layers * run.micro_batches);
  }
  return SimulateStages(simulation, micro_batches).seconds;
}

double BusySeconds(const router::Engine& engine) {
  double busy = 0;
  if (engine.stages() != nullptr) {
    for (const router::StageTotals& totals : engine.stages()->Totals()) {
      busy += totals.busy_seconds;
    }
  }
  return busy;
}

absl::StatusOr<Measured> MeasureOnce(StageRig& rig, const StagesFlags& flags, Measured run, int layers) {
  router::Engine& engine = rig.engine();
  const uint64_t steps_before = engine.Stats().steps;
  const double busy_before = BusySeconds(engine);
  // Prompts of one token, so that all steps are alike: the other stages' reports do not tell which step was which.
  engine.SetMicroBatches(run.micro_batches);
  ASSIGN_OR_RETURN(std::unique_ptr<DecodeLoad> load, DecodeLoad::Start(engine, flags.batch, /*context=*/1));
  ASSIGN_OR_RETURN(const StepTimes times, load->Measure(run.micro_batches, flags.steps));
  load = nullptr;
  run.micro_batches = static_cast<int>(std::lround(times.micro_batches));  // dualpipe has one in each direction at least
  const auto steps = static_cast<double>(engine.Stats().steps - steps_before);
  run.step = times.step;
  // With the experts inside, waiting for them is working.
  run.busy = times.step - times.stage_wait + (BusySeconds(engine) - busy_before) / steps;
  run.bubble = 1 - run.busy / (run.stages * run.step);
  run.predicted = Predict(run, layers);
  return run;
}

// The fastest of some rounds, in which all numbers of micro-batches take turns.
absl::Status MeasureLayout(const std::shared_ptr<const OpenedModel>& opened, const StagesFlags& flags, int stages,
                           StagePolicy policy, std::vector<Measured>& results) {
  const std::vector<int> cpus = AvailableCpus();
  const int layers = opened->config.spec.num_layers();
  StageRigOptions options = {.layout = {.num_stages = stages, .num_layers = layers, .policy = policy}};
  options.cpus.assign(cpus.begin(), cpus.begin() + stages);
  options.max_sequences = flags.batch;
  options.max_model_len = 2 * flags.steps + 32;  // a measurement may see a few steps more
  ASSIGN_OR_RETURN(const std::unique_ptr<StageRig> rig, StageRig::Start(opened, options));
  std::vector<Measured> best(flags.micro_batches.size());
  for (int round = 0; round < flags.rounds; ++round) {
    for (size_t i = 0; i < best.size(); ++i) {
      const Measured plain = {.policy = policy, .stages = stages, .micro_batches = flags.micro_batches[i]};
      ASSIGN_OR_RETURN(const Measured run, MeasureOnce(*rig, flags, plain, layers));
      if (round == 0 || run.step < best[i].step) {
        best[i] = run;
      }
    }
  }
  results.insert(results.end(), best.begin(), best.end());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Measured>> Measure(const StagesFlags& flags) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened, OpenModel(flags.model_dir, flags.dtype));
  const int cpus = static_cast<int>(AvailableCpus().size());
  std::vector<Measured> results;
  RETURN_IF_ERROR(MeasureLayout(opened, flags, 1, StagePolicy::kOneWay, results));
  for (const int stages : flags.stages) {
    if (stages > std::min(cpus, opened->config.spec.num_layers())) {
      continue;
    }
    for (const StagePolicy policy : {StagePolicy::kOneWay, StagePolicy::kDualPipe}) {
      RETURN_IF_ERROR(MeasureLayout(opened, flags, stages, policy, results));
    }
  }
  return results;
}

void Print(const std::vector<ComparedRow>& rows) {
  absl::PrintF("%-18s %-44s %6s %3s %8s %8s %8s %8s %8s\n", "load", "policy", "stages", "m", "step", "ideal", "bubble",
               "weights", "resident");
  for (const ComparedRow& row : rows) {
    absl::PrintF("%-18s %-44s %6d %3d %8.1f %8.1f %7.1f%% %7.1f%% %8d\n", row.load, row.policy, row.stages,
                 row.micro_batches, row.step, row.ideal, 100 * row.bubble, 100 * row.weights, row.resident);
  }
}

void Print(const std::vector<Measured>& runs) {
  absl::PrintF("\n%-10s %6s %3s %10s %10s %8s %14s\n", "engine", "stages", "m", "step ms", "busy ms", "bubble",
               "simulated ms");
  for (const Measured& run : runs) {
    absl::PrintF("%-10s %6d %3d %10.3f %10.3f %7.1f%% %14.3f\n", scheduler::StagePolicyName(run.policy), run.stages,
                 run.micro_batches, run.step * 1e3, run.busy * 1e3, 100 * run.bubble, run.predicted * 1e3);
  }
}

absl::Status Run(const StagesFlags& flags) {
  RETURN_IF_ERROR(StartLogging("bench", flags.log));
  const std::vector<ComparedRow> rows =
      CompareStagePolicies(flags.costs, flags.stages, flags.micro_batches, flags.layers);
  std::vector<Measured> measured;
  if (!flags.model_dir.empty()) {
    ASSIGN_OR_RETURN(measured, Measure(flags));
  }
  if (!flags.json) {
    Print(rows);
    if (!measured.empty()) {
      Print(measured);
    }
    return absl::OkStatus();
  }
  Json json = {{"costs",
                {{"router", flags.costs.router},
                 {"expert", flags.costs.expert},
                 {"wire", flags.costs.wire},
                 {"handover", flags.costs.handover},
                 {"prefill_factor", flags.costs.prefill},
                 {"workers_of_stage", flags.costs.workers_of_stage}}},
               {"layers", flags.layers},
               {"simulated", Json::array()},
               {"batch", flags.batch},
               {"steps", flags.steps},
               {"measured", Json::array()}};
  for (const ComparedRow& row : rows) {
    json["simulated"].push_back(ToJson(row));
  }
  for (const Measured& run : measured) {
    json["measured"].push_back(ToJson(run));
  }
  std::printf("%s\n", json.dump(2).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddBenchStages(CLI::App& bench, CommandResult& result) {
  auto flags = std::make_shared<StagesFlags>();
  CLI::App* command = bench.add_subcommand(
      "stages", "Ways of running pipeline stages: simulated, and with a model measured on the engine, one CPU a stage");
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command->add_option(name, value, help)->capture_default_str();
  };
  add("model", flags->model_dir, "Directory of a Hugging Face checkpoint; without, nothing is measured");
  add("--dtype", flags->dtype, "Of the measured model")->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  add("--stages", flags->stages, "Numbers of stages")->delimiter(',')->check(CLI::Range(1, 64));
  add("--micro-batches", flags->micro_batches, "Numbers of micro-batches")->delimiter(',')->check(CLI::Range(1, 8));
  add("--layers", flags->layers, "Of the simulated model, at least as many as stages")->check(CLI::Range(1, 1000));
  add("--router", flags->costs.router, "Simulated time of a layer on the router")->check(CLI::PositiveNumber);
  add("--expert", flags->costs.expert, "of its experts")->check(CLI::NonNegativeNumber);
  add("--wire", flags->costs.wire, "of the way to them or back")->check(CLI::NonNegativeNumber);
  add("--handover", flags->costs.handover, "of hidden states to the next stage")->check(CLI::NonNegativeNumber);
  add("--prefill-factor", flags->costs.prefill, "How much longer a prefill micro-batch takes")
      ->check(CLI::PositiveNumber);
  command->add_flag("--workers-of-stage,!--shared-workers", flags->costs.workers_of_stage,
                    "Simulated stages have expert workers of their own (the default) or share them");
  add("--batch", flags->batch, "Measured sequences at a time")->check(CLI::Range(1, 4096));
  add("--steps", flags->steps, "Decode steps of each measurement")->check(CLI::Range(4, 1 << 16));
  add("--rounds", flags->rounds, "Measurements of each case; the fastest counts")->check(CLI::Range(1, 1000));
  command->add_flag("--json", flags->json, "One JSON object");
  AddLogFlags(*command, flags->log);
  FinishFlags(*command);
  command->callback([flags, &result] {
    for (const int stages : flags->stages) {
      if (stages > flags->layers) {
        throw CLI::ValidationError("--stages", absl::StrFormat("%d stages need as many --layers", stages));
      }
    }
    result.status = Run(*flags);
  });
}

}  // namespace tandem::cli
