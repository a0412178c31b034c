// tandem plan: what a service would do before it is built, by simulating it with the code that would run it.
#include "scheduler/planner/plan.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/plan_profiles.h"
#include "cli/plan_report.h"
#include "scheduler/planner/search.h"

namespace tandem::cli {
namespace {

struct PlanFlags {
  std::string model;
  PlanDTypes dtypes;
  std::string hardware;
  std::string worker_hardware;  // empty: as the routers'
  std::string network = "local";
  double latency_us = -1;  // overrides the network's
  double price = -1;       // overrides the hardware's
  double worker_price = -1;
  std::vector<int> routers = {1};
  std::vector<int> workers = {1};
  int worker_devices = 0;
  std::vector<int> max_sequences = {64};
  int64_t max_batch_tokens = 512;
  int micro_batches = 0;
  scheduler::LoadProfile load;
  bool cold = false;
  double imbalance = 0;
  double slowdown = 1;
  bool search = false;
  int most_devices = 64;
  double ttft_p99_ms = 0;
  double itl_p99_ms = 0;
  std::string trace;
  bool json = false;
};

absl::StatusOr<scheduler::PlanInput> MakeInput(const PlanFlags& flags) {
  scheduler::PlanInput input;
  ASSIGN_OR_RETURN(input.model, ReadModelProfile(flags.model, flags.dtypes));
  ASSIGN_OR_RETURN(input.router, ReadDeviceProfile(flags.hardware, input.model));
  const std::string& worker = flags.worker_hardware.empty() ? flags.hardware : flags.worker_hardware;
  ASSIGN_OR_RETURN(input.worker, ReadDeviceProfile(worker, input.model));
  ASSIGN_OR_RETURN(input.link, ReadLinkProfile(flags.network));
  if (flags.latency_us >= 0) {
    input.link.latency = flags.latency_us * 1e-6;
  }
  if (flags.price >= 0) {
    input.router.price_per_hour = input.worker.price_per_hour = flags.price;
  }
  if (flags.worker_price >= 0) {
    input.worker.price_per_hour = flags.worker_price;
  }
  input.layout.max_batch_tokens = flags.max_batch_tokens;
  input.layout.micro_batches = flags.micro_batches;
  input.load = flags.load;
  input.load.warm = !flags.cold;
  input.routing.imbalance = flags.imbalance;
  input.slowdown = flags.slowdown;
  return input;
}

// Every combination of what was listed.
std::vector<scheduler::ClusterLayout> Layouts(const PlanFlags& flags, const scheduler::ClusterLayout& base) {
  std::vector<scheduler::ClusterLayout> layouts;
  for (const int routers : flags.routers) {
    for (const int workers : flags.workers) {
      for (const int sequences : flags.max_sequences) {
        scheduler::ClusterLayout layout = base;
        layout.routers = routers;
        layout.workers = workers;
        layout.worker_devices = workers == 0 ? 0 : flags.worker_devices;
        layout.max_sequences = sequences;
        layouts.push_back(layout);
      }
    }
  }
  return layouts;
}

absl::Status Compare(const PlanFlags& flags, scheduler::PlanInput input) {
  const std::vector<scheduler::ClusterLayout> layouts = Layouts(flags, input.layout);
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  const bool one = layouts.size() == 1;
  input.layout = *std::max_element(layouts.begin(), layouts.end(),
                                   [](const auto& a, const auto& b) { return a.workers < b.workers; });
  if (!flags.json) {
    PrintPlanHeader(input);
    if (!one) {
      PrintPlanColumns();
    }
  }
  for (const scheduler::ClusterLayout& layout : layouts) {
    input.layout = layout;
    // A step in the middle: the first ones after the beginning of a load are not typical.
    input.trace_step = flags.trace.empty() ? -1 : 8;
    const absl::StatusOr<scheduler::PlanResult> plan = scheduler::Predict(input);
    if (!plan.ok() && !one && absl::IsResourceExhausted(plan.status()) && !flags.json) {
      const std::string message(plan.status().message());
      absl::PrintF("%7d %7d   %s\n", layout.routers, layout.workers, message.substr(0, message.find(';')));
      continue;
    }
    RETURN_IF_ERROR(plan.status());
    json.push_back(PlanToJson(input, *plan));
    if (!flags.json) {
      one ? PrintPlanDetails(input, *plan) : PrintPlanLine(input, *plan);
    }
    if (!flags.trace.empty() && &layout == &layouts.back()) {
      RETURN_IF_ERROR(WritePlanTrace(flags.trace, *plan));
    }
  }
  if (flags.json) {
    std::printf("%s\n", (one ? json[0] : json).dump(1).c_str());
  }
  return absl::OkStatus();
}

absl::Status Search(const PlanFlags& flags, const scheduler::PlanInput& input) {
  if (flags.ttft_p99_ms <= 0 && flags.itl_p99_ms <= 0) {
    return absl::InvalidArgumentError(
        "--search looks for the cheapest layout within --ttft-p99 or --itl-p99: give one");
  }
  scheduler::SearchSpace space;
  space.routers = space.workers = scheduler::DeviceCounts(flags.most_devices);
  space.workers.insert(space.workers.begin(), 0);
  space.max_sequences = {256, 64, 16};
  // Larger steps read prompts faster, smaller ones hold up fewer tokens of others.
  space.max_batch_tokens = {flags.max_batch_tokens, std::max<int64_t>(flags.max_batch_tokens / 4, 32)};
  const scheduler::ServiceLevel level = {.ttft_p99 = flags.ttft_p99_ms / 1e3, .itl_p99 = flags.itl_p99_ms / 1e3};
  ASSIGN_OR_RETURN(const scheduler::SearchResult found, scheduler::FindCheapest(input, space, level));
  if (flags.json) {
    nlohmann::ordered_json json = PlanToJson(found.input, found.plan);
    json["layouts_tried"] = found.tried;
    json["layouts_too_large"] = found.skipped;
    std::printf("%s\n", json.dump(1).c_str());
    return absl::OkStatus();
  }
  PrintPlanHeader(found.input);
  PrintPlanDetails(found.input, found.plan);
  absl::PrintF("%-14s the cheapest of the layouts up to %d routers and workers: %d simulated, %d do not fit\n",
               "search", flags.most_devices, found.tried, found.skipped);
  return absl::OkStatus();
}

absl::Status Run(const PlanFlags& flags) {
  ASSIGN_OR_RETURN(const scheduler::PlanInput input, MakeInput(flags));
  return flags.search ? Search(flags, input) : Compare(flags, input);
}

void AddLoadFlags(CLI::App& command, PlanFlags& flags) {
  scheduler::LoadProfile& load = flags.load;
  CLI::Option* rate = command.add_option("--rate", load.rate, "Requests per second, arriving on their own (Poisson)")
                          ->check(CLI::PositiveNumber);
  command.add_option("--concurrency", load.concurrency, "Clients that ask again as soon as they are answered")
      ->check(CLI::Range(1, 1 << 22))
      ->excludes(rate)
      ->capture_default_str();
  command.add_option("--prompt-tokens,--input-len", load.prompt_tokens, "Mean length of prompts")
      ->check(CLI::Range(1, 1 << 22))
      ->capture_default_str();
  command.add_option("--output-tokens,--output-len", load.output_tokens, "Mean length of answers")
      ->check(CLI::Range(1, 1 << 22))
      ->capture_default_str();
  command.add_option("--spread", load.length_spread, "Lengths are even within this share of the means")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command.add_option("--prefix-cache", load.prefix_cache_share, "Share of each prompt that the prefix cache holds")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command.add_option("--requests", load.requests, "Simulated until so many are answered")
      ->check(CLI::Range(1, 1 << 22))
      ->capture_default_str();
  command.add_flag("--cold", flags.cold, "Begin with an idle service instead of in the middle of the load");
  command.add_option("--seed", load.seed, "Of arrivals and lengths")->capture_default_str();
}

void AddClusterFlags(CLI::App& command, PlanFlags& flags) {
  command.add_option("--hardware", flags.hardware, "Profile of devices: a file or a name in profiles/hardware")
      ->required();
  command.add_option("--worker-hardware", flags.worker_hardware, "Of expert workers, where it differs");
  command.add_option("--network", flags.network, "Profile of links")->capture_default_str();
  command.add_option("--latency", flags.latency_us, "One-way latency in microseconds instead of the network's")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--price", flags.price, "Of a device for an hour, instead of the profile's")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--worker-price", flags.worker_price, "Of a workers' device, where it differs")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--routers", flags.routers, "Numbers of routers")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--workers", flags.workers, "Numbers of expert workers; 0: experts inside routers")
      ->delimiter(',')
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command.add_option("--worker-devices", flags.worker_devices, "Devices that workers share; 0: one each")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command.add_option("--max-sequences", flags.max_sequences, "Running at a time on a router")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command.add_option("--max-batch-tokens", flags.max_batch_tokens, "Of a router's step")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--micro-batches", flags.micro_batches, "Of each step; 0: chosen as the engine chooses")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
}

}  // namespace

void AddPlan(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* command = app.add_subcommand(
      "plan", "Predict throughput, latency, bottleneck and price of a service that does not exist yet");
  command->add_option("model", flags->model, "Directory with a config.json, or a name in profiles/models")->required();
  const CLI::IsMember dtypes({"auto", "float32", "bfloat16", "fp8"});
  command->add_option("--dtype", flags->dtypes.weights, "Of weights; auto: as Tandem would serve it")
      ->check(dtypes)
      ->capture_default_str();
  command
      ->add_option("--wire-dtype", flags->dtypes.wire, "Of rows sent to experts; their outputs are bfloat16 with fp8")
      ->check(dtypes)
      ->capture_default_str();
  AddKvCacheDTypeFlag(*command, flags->dtypes.kv_cache);
  AddClusterFlags(*command, *flags);
  AddLoadFlags(*command, *flags);
  command
      ->add_option("--imbalance", flags->imbalance,
                   "Load of the busiest worker over the mean; 0: what random routing gives")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--slowdown", flags->slowdown, "Factor on all computing, for a machine slower than its profile")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--search", flags->search, "Find the cheapest layout that keeps the promises below");
  command->add_option("--most-devices", flags->most_devices, "Of either kind that the search may use")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--ttft-p99", flags->ttft_p99_ms, "Promise: time to first token in milliseconds")
      ->check(CLI::PositiveNumber);
  command->add_option("--itl-p99", flags->itl_p99_ms, "Promise: time between tokens in milliseconds")
      ->check(CLI::PositiveNumber);
  command->add_option("--trace", flags->trace, "Write the timeline of one step for Perfetto to this file");
  command->add_flag("--json", flags->json, "One JSON object, or an array for several layouts");
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli
