#include "cli/plan_report.h"

#include <cstdio>
#include <fstream>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;
using scheduler::Percentiles;
using scheduler::PlanInput;
using scheduler::PlanResult;
using scheduler::SimulatedSpan;

constexpr double kMilli = 1e3;
constexpr double kGiB = 1024.0 * 1024 * 1024;

Json ToJson(const Percentiles& seconds) {
  return {{"mean", seconds.mean * kMilli},
          {"p50", seconds.p50 * kMilli},
          {"p90", seconds.p90 * kMilli},
          {"p99", seconds.p99 * kMilli}};
}

std::string Share(double share) { return absl::StrFormat("%.0f %%", 100 * share); }

std::string Milliseconds(const Percentiles& p) {
  return absl::StrFormat("mean %.2f  p50 %.2f  p90 %.2f  p99 %.2f ms", p.mean * kMilli, p.p50 * kMilli, p.p90 * kMilli,
                         p.p99 * kMilli);
}

// Seven characters at most.
std::string Short(double value) {
  return value >= 1e6   ? absl::StrFormat("%.2fM", value / 1e6)
         : value >= 1e4 ? absl::StrFormat("%.1fk", value / 1e3)
                        : absl::StrFormat("%.1f", value);
}

void Line(absl::string_view label, const std::string& text) { absl::PrintF("%-14s %s\n", label, text); }

// Frames share the wire, so each micro-batch has a line of its own there.
std::pair<int, std::string> LineOf(const SimulatedSpan& span) {
  const int id = 100 * static_cast<int>(span.track);
  switch (span.track) {
    case SimulatedSpan::Track::kRouter:
      return {id, "router 0"};
    case SimulatedSpan::Track::kDispatch:
      return {id + span.micro_batch, absl::StrCat("dispatch of micro-batch ", span.micro_batch)};
    case SimulatedSpan::Track::kWorkers:
      return {id, "expert workers"};
    case SimulatedSpan::Track::kCombine:
      return {id + span.micro_batch, absl::StrCat("combine of micro-batch ", span.micro_batch)};
  }
  return {id, ""};
}

}  // namespace

Json PlanToJson(const PlanInput& input, const PlanResult& plan) {
  return {
      {"routers", input.layout.routers},
      {"workers", input.layout.workers},
      {"worker_devices", input.layout.devices_of_workers()},
      {"max_sequences", input.layout.max_sequences},
      {"max_batch_tokens", input.layout.max_batch_tokens},
      {"micro_batches", input.layout.micro_batches},
      {"output_tokens_per_second", plan.output_tokens_per_second},
      {"input_tokens_per_second", plan.input_tokens_per_second},
      {"requests_per_second", plan.requests_per_second},
      {"ttft_ms", ToJson(plan.ttft)},
      {"itl_ms", ToJson(plan.itl)},
      {"step_ms", ToJson(plan.step)},
      {"keeps_up", plan.keeps_up},
      {"bottleneck", plan.bottleneck},
      {"utilisation",
       {{"routers", plan.router_utilisation}, {"workers", plan.worker_utilisation}, {"wire", plan.wire_utilisation}}},
      {"sequences_per_router", plan.mean_sequences},
      {"waiting_at_end", plan.mean_waiting},
      {"micro_batches_mean", plan.mean_micro_batches},
      {"preemptions", plan.preemptions},
      {"steps", plan.steps},
      {"memory",
       {{"router_weights", plan.memory.router_weights},
        {"worker_weights", plan.memory.worker_weights},
        {"kv_cache_tokens", plan.memory.kv_tokens}}},
      {"price_per_hour", plan.price_per_hour},
      {"price_per_million_input_tokens", plan.price_per_million_input},
      {"price_per_million_output_tokens", plan.price_per_million_output}};
}

void PrintPlanHeader(const PlanInput& input) {
  const scheduler::LoadProfile& load = input.load;
  Line("model", absl::StrFormat("%s: %d layers, %d experts, %d a token", input.model.name, input.model.num_layers(),
                                input.model.num_experts, input.model.top_k));
  Line("routers on", input.router.name);
  if (input.layout.workers > 0) {
    Line("workers on", input.worker.name);
    Line("network", absl::StrFormat("%s: %.1f us one way", input.link.name, input.link.latency * 1e6));
  }
  const std::string arrivals =
      load.rate > 0 ? absl::StrFormat("%.4g requests/s", load.rate) : absl::StrFormat("%d clients", load.concurrency);
  Line("load",
       absl::StrFormat("%s of %d + %d tokens, %s of prompts cached", arrivals, static_cast<int>(load.prompt_tokens),
                       static_cast<int>(load.output_tokens), Share(load.prefix_cache_share)));
}

void PrintPlanColumns() {
  absl::PrintF("\n%7s %7s %5s %5s %9s %9s %9s %9s %5s %5s %5s %9s\n", "routers", "workers", "seqs", "m", "out tok/s",
               "in tok/s", "TTFT p99", "ITL p99", "rout%", "work%", "wire%", "$/M out");
}

void PrintPlanLine(const PlanInput& input, const PlanResult& plan) {
  absl::PrintF("%7d %7d %5.0f %5.1f %9s %9s %9s %9s %5.0f %5.0f %5.0f %9s%s\n", input.layout.routers,
               input.layout.workers, plan.mean_sequences, plan.mean_micro_batches, Short(plan.output_tokens_per_second),
               Short(plan.input_tokens_per_second), Short(plan.ttft.p99 * kMilli), Short(plan.itl.p99 * kMilli),
               100 * plan.router_utilisation, 100 * plan.worker_utilisation, 100 * plan.wire_utilisation,
               plan.price_per_million_output > 0 ? absl::StrFormat("%.3f", plan.price_per_million_output) : "-",
               plan.keeps_up ? "" : " !");
}

void PrintPlanDetails(const PlanInput& input, const PlanResult& plan) {
  const scheduler::ClusterLayout& layout = input.layout;
  Line("layout", absl::StrFormat("%d routers, %d expert workers; %d sequences and %d tokens a step on each router",
                                 layout.routers, layout.workers, layout.max_sequences,
                                 static_cast<int>(layout.max_batch_tokens)));
  Line("throughput",
       absl::StrFormat("%.1f output tokens/s, %.1f input tokens/s, %.2f requests/s", plan.output_tokens_per_second,
                       plan.input_tokens_per_second, plan.requests_per_second));
  Line("TTFT", Milliseconds(plan.ttft));
  Line("ITL", Milliseconds(plan.itl));
  Line("step", Milliseconds(plan.step));
  Line("busy", absl::StrFormat("routers %s, expert workers %s, wire %s; %.2f micro-batches a step",
                               Share(plan.router_utilisation), Share(plan.worker_utilisation),
                               Share(plan.wire_utilisation), plan.mean_micro_batches));
  Line("bottleneck", plan.bottleneck);
  Line("memory", absl::StrFormat("router %.1f GiB of weights, %d tokens of KV cache; worker device %.1f GiB",
                                 plan.memory.router_weights / kGiB, static_cast<int>(plan.memory.kv_tokens),
                                 plan.memory.worker_weights / kGiB));
  if (plan.preemptions > 0 || plan.mean_waiting > 0) {
    Line("queue", absl::StrFormat("%.0f requests wait at the end, %d preemptions", plan.mean_waiting,
                                  static_cast<int>(plan.preemptions)));
  }
  if (plan.price_per_hour > 0) {
    Line("price", absl::StrFormat("%.2f an hour; a million tokens: input %.3f or output %.3f", plan.price_per_hour,
                                  plan.price_per_million_input, plan.price_per_million_output));
  }
  if (!plan.keeps_up) {
    Line("warning", "requests come faster than they are answered: latencies grow without bound");
  }
}

absl::Status WritePlanTrace(const std::string& path, const PlanResult& plan) {
  Json events = Json::array();
  std::map<int, std::string> lines;
  for (const SimulatedSpan& span : plan.simulation.spans) {
    const auto [line, line_name] = LineOf(span);
    lines[line] = line_name;
    const std::string place = absl::StrCat(" ", span.micro_batch, ", layer ", span.layer);
    events.push_back({{"ph", "X"},
                      {"name", absl::StrCat(span.name, span.micro_batch < 0 ? "" : place)},
                      {"pid", 1},
                      {"tid", line},
                      {"ts", span.begin * 1e6},
                      {"dur", (span.end - span.begin) * 1e6},
                      {"args", {{"micro_batch", span.micro_batch}, {"layer", span.layer}}}});
  }
  for (const auto& [line, name] : lines) {
    events.push_back({{"ph", "M"}, {"name", "thread_name"}, {"pid", 1}, {"tid", line}, {"args", {{"name", name}}}});
  }
  std::ofstream file(path);
  file << Json{{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}}.dump() << '\n';
  file.close();
  return file ? absl::OkStatus() : absl::PermissionDeniedError(absl::StrCat("cannot write ", path));
}

}  // namespace tandem::cli
