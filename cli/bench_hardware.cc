#include "cli/bench_hardware.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/cpu_affinity.h"
#include "base/status.h"
#include "cli/flags.h"
#include "cli/machine_measurement.h"
#include "cli/model_calibration.h"
#include "cli/opened_model.h"
#include "cli/plan_profiles.h"
#include "cli/transport_measurement.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;

struct HardwareFlags {
  LogFlags log{.level = "warning"};
  std::string model_dir;
  std::string dtype = "auto";
  std::string out;
  std::string name = "this machine, one core";
  int rounds = 5;
  bool links = true;
};

Json Figure(double value, absl::string_view source) { return {{"value", value}, {"source", std::string(source)}}; }

double MemoryBytes() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// A device of the planner is a router's or a worker's share of the machine: one core.
absl::StatusOr<Json> DescribeMachine(const HardwareFlags& flags) {
  const int cores = static_cast<int>(AvailableCpus().size());
  ASSIGN_OR_RETURN(const MachineSpeed one, MeasureMachine(1, flags.rounds));
  ASSIGN_OR_RETURN(const MachineSpeed all, MeasureMachine(cores, flags.rounds));
  constexpr absl::string_view kMeasured = "measured by tandem bench hardware";
  Json json = {{"kind", "device"}, {"name", flags.name}};
  json["memory_bytes"] = Figure(MemoryBytes() / cores, "the machine's memory divided among its cores");
  json["memory_bandwidth"] =
      Figure(one.memory_bandwidth, absl::StrCat(kMeasured, ": matrix times one row, one thread"));
  json["operations"] = {{"bfloat16", Figure(one.operations_bf16, absl::StrCat(kMeasured, ": 512 rows, one thread"))},
                        {"float32", Figure(one.operations_f32, absl::StrCat(kMeasured, ": 512 rows, one thread"))}};
  json["router_overhead"] = Figure(12 * one.call, absl::StrCat(kMeasured, ": twelve empty calls"));
  json["expert_overhead"] = Figure(2 * one.call, absl::StrCat(kMeasured, ": two empty calls"));
  json["all_cores"] = {{"threads", cores},
                       {"memory_bandwidth", all.memory_bandwidth},
                       {"operations_bfloat16", all.operations_bf16},
                       {"operations_float32", all.operations_f32},
                       {"empty_call_seconds", all.call}};
  return json;
}

absl::Status Write(const std::string& path, const Json& json) {
  std::ofstream file(path);
  file << json.dump(1) << '\n';
  file.close();
  return file ? absl::OkStatus() : absl::PermissionDeniedError(absl::StrCat("cannot write ", path));
}

Json DescribeLink(const TransportSpeed& speed, absl::string_view machine) {
  constexpr absl::string_view kMeasured = "measured by tandem bench hardware";
  return {{"kind", "link"},
          {"name", absl::StrCat(speed.name, " on ", machine)},
          {"latency", Figure(speed.round_trip / 2, absl::StrCat(kMeasured, ": half of a small frame's round trip"))},
          {"bytes_per_second",
           Figure(speed.bytes_per_second, absl::StrCat(kMeasured, ": frames of 1 MiB, one at a time"))}};
}

// A file for each transport beside the machine's: here.json, here-shm.json, …
absl::Status WriteLinks(const HardwareFlags& flags) {
  ASSIGN_OR_RETURN(const std::vector<TransportSpeed> speeds, MeasureTransports(flags.rounds));
  const std::filesystem::path out = flags.out;
  for (const TransportSpeed& speed : speeds) {
    const std::string file = absl::StrCat(out.stem().string(), "-", speed.name, ".json");
    RETURN_IF_ERROR(Write((out.parent_path() / file).string(), DescribeLink(speed, flags.name)));
  }
  return absl::OkStatus();
}

absl::Status AddMeasuredModel(const HardwareFlags& flags, Json& json) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened, OpenModel(flags.model_dir, flags.dtype));
  ASSIGN_OR_RETURN(const scheduler::ModelProfile model, ReadModelProfile(flags.model_dir, {.weights = flags.dtype}));
  ASSIGN_OR_RETURN(const scheduler::MeasuredParts parts, CalibrateModel(opened, {.rounds = flags.rounds}));
  json["measured"] = Json::array({MeasuredToJson(opened->name, model.Shape(), parts)});
  return absl::OkStatus();
}

absl::Status Run(const HardwareFlags& flags) {
  RETURN_IF_ERROR(StartLogging("bench", flags.log));
  ASSIGN_OR_RETURN(Json json, DescribeMachine(flags));
  if (!flags.model_dir.empty()) {
    RETURN_IF_ERROR(AddMeasuredModel(flags, json));
  }
  RETURN_IF_ERROR(Write(flags.out, json));
  return flags.links ? WriteLinks(flags) : absl::OkStatus();
}

}  // namespace

void AddBenchHardware(CLI::App& bench, CommandResult& result) {
  auto flags = std::make_shared<HardwareFlags>();
  CLI::App* command = bench.add_subcommand("hardware", "This machine's profile for tandem plan");
  command->add_option("model", flags->model_dir, "Checkpoint whose parts are measured as well, for exact predictions");
  command->add_option("--dtype", flags->dtype, "Of the model's weights")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str();
  command->add_option("--out", flags->out, "File to write; links are written beside it")->required();
  command->add_flag("!--no-links", flags->links, "Do not measure transports");
  command->add_option("--name", flags->name, "What the profile is called")->capture_default_str();
  command->add_option("--rounds", flags->rounds, "Of every measurement")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  AddLogFlags(*command, flags->log);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli
