#include "router/engine_metrics.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace tandem::router {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class EngineMetrics : public prometheus::Collectable {
 public:
  EngineMetrics(const Engine& engine, const WorkerPool& workers, metrics::Labels labels, bool per_expert)
      : engine_(engine), workers_(workers), labels_(std::move(labels)), per_expert_(per_expert) {}

  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> families;
    const EngineStats stats = engine_.Stats();
    const double kv_blocks = static_cast<double>(stats.kv_blocks);
    families.push_back(Single(MetricType::Gauge, "tandem_engine_sequences_running", "Sequences in the batch.", stats.running));
    families.push_back(Single(MetricType::Gauge, "tandem_engine_sequences_waiting", "Sequences in the queue.", stats.waiting));
    families.push_back(Single(MetricType::Gauge, "tandem_kv_cache_usage_ratio", "KV cache blocks in use, 0 to 1.",
                              kv_blocks > 0 ? static_cast<double>(stats.kv_blocks_used) / kv_blocks : 0));
    AddSteps(stats, families);
    AddStages(stats, families);
    AddOverlap(stats, families);
    AddExchanges(families);
    AddWorkers(families);
    AddPipelineStages(families);
    AddTokens(families);
    return families;
  }

 private:
  using LabelList = std::vector<std::pair<std::string, std::string>>;

  MetricFamily Family(MetricType type, const char* name, const char* help) const {
    MetricFamily family;
    family.type = type;
    family.name = name;
    family.help = help;
    return family;
  }

  void AddSample(MetricFamily& family, const LabelList& labels, double value) const {
    ClientMetric metric;
    for (const auto& [key, label] : labels_) {
      metric.label.push_back({key, label});
    }
    for (const auto& [key, label] : labels) {
      metric.label.push_back({key, label});
    }
    (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    family.metric.push_back(std::move(metric));
  }

  void AddHistogram(MetricFamily& family, const LabelList& labels, const LatencyHistogram& histogram) const {
    AddSample(family, labels, 0);
    ClientMetric::Histogram& out = family.metric.back().histogram;
    uint64_t count = 0;
    for (size_t i = 0; i <= LatencyHistogram::kBounds.size(); ++i) {
      count += histogram.Count(i);
      const bool last = i == LatencyHistogram::kBounds.size();
      out.bucket.push_back({count, last ? std::numeric_limits<double>::infinity() : LatencyHistogram::kBounds[i]});
    }
    out.sample_count = count;
    out.sample_sum = histogram.Sum();
  }

  MetricFamily Single(MetricType type, const char* name, const char* help, double value) const {
    MetricFamily family = Family(type, name, help);
    AddSample(family, {}, value);
    return family;
  }

  void AddSteps(const EngineStats& stats, std::vector<MetricFamily>& families) const {
    const auto counter = [&](const char* name, const char* help, uint64_t value) {
      families.push_back(Single(MetricType::Counter, name, help, static_cast<double>(value)));
    };
    counter("tandem_engine_steps_total", "Steps run.", stats.steps);
    counter("tandem_engine_step_tokens_total", "Tokens computed in steps, recomputed ones included.",
            stats.step_tokens);
    counter("tandem_preemptions_total", "Sequences that lost their KV blocks to others and were computed again.",
            stats.preemptions);
    counter("tandem_prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
            stats.prefix_queried_tokens);
    counter("tandem_prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", stats.prefix_hit_tokens);
    families.push_back(Single(MetricType::Gauge, "tandem_prefix_cache_blocks", "KV blocks that the prefix cache knows.",
                              static_cast<double>(stats.kv_blocks_cached)));
    counter("tandem_microbatches_total", "Micro-batches that steps were cut into.", stats.micro_batches);
  }

  void AddStages(const EngineStats& stats, std::vector<MetricFamily>& families) const {
    MetricFamily stages =
        Family(MetricType::Counter, "tandem_stage_seconds_total", "Time of the engine while there is work, by stage.");
    double other = stats.busy_seconds;
    for (const auto& [stage, seconds] : std::initializer_list<std::pair<const char*, double>>{
             {"router", stats.router_seconds},
             {"shared_expert", stats.shared_seconds},
             {"expert_wait", stats.expert_wait_seconds},
             {"wire_wait", stats.wire_wait_seconds},
             {"stage_wait", stats.stage_wait_seconds},
             {"bubble", stats.bubble_seconds},
             {"logits", stats.logits_seconds},
             {"sample", stats.sample_seconds},
             {"plan", stats.plan_seconds}}) {
      AddSample(stages, {{"stage", stage}}, seconds);
      other -= seconds;
    }
    AddSample(stages, {{"stage", "other"}}, std::max(other, 0.0));
    families.push_back(std::move(stages));
  }

  void AddOverlap(const EngineStats& stats, std::vector<MetricFamily>& families) const {
    const auto add = [&](MetricType type, const char* name, const char* help, double value) {
      families.push_back(Single(type, name, help, value));
    };
    add(MetricType::Counter, "tandem_comm_seconds_total",
        "Time of dispatches and combines on the wire, hidden behind work or not.", stats.wire_seconds);
    add(MetricType::Counter, "tandem_comm_exposed_seconds_total",
        "Part of it by which steps took longer than they would over a wire that takes no time.", stats.exposed_seconds);
    add(MetricType::Counter, "tandem_forward_seconds_total", "Time of forward passes, without lm_head.",
        stats.forward_seconds);
    add(MetricType::Counter, "tandem_forward_ideal_seconds_total",
        "What a perfect pipeline would take for them: the same micro-batches, costs and wire.", stats.ideal_seconds);
    const EngineStats::Recent& recent = stats.recent;
    const auto ratio = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
    add(MetricType::Gauge, "tandem_comm_hidden_ratio", "Of the last 100 steps or so: share of communication that was hidden.",
        recent.wire_seconds > 0 ? 1 - recent.exposed_seconds / recent.wire_seconds : 0);
    add(MetricType::Gauge, "tandem_pipeline_bubble_ratio",
        "Of the last 100 steps or so: share of forward passes in which nobody worked and nothing was on the wire.",
        ratio(recent.bubble_seconds, recent.forward_seconds));
    add(MetricType::Gauge, "tandem_overlap_efficiency_ratio",
        "Of the last 100 steps or so: ideal / actual time of forward passes.",
        ratio(recent.ideal_seconds, recent.forward_seconds));
  }

  void AddExchanges(std::vector<MetricFamily>& families) const {
    MetricFamily sent = Family(MetricType::Counter, "tandem_dispatch_bytes_total", "Rows sent to the worker, in bytes.");
    MetricFamily received =
        Family(MetricType::Counter, "tandem_combine_bytes_total", "Vectors that came back from the worker, in bytes.");
    MetricFamily round_trip = Family(MetricType::Histogram, "tandem_dispatch_round_trip_seconds",
                                     "From sending a frame to the worker to its answer.");
    MetricFamily wire = Family(MetricType::Histogram, "tandem_dispatch_wire_seconds",
                               "Part of the round trip on the wire: dispatch and combine together.");
    const std::vector<WorkerPool::WorkerStatus> status = workers_.Status();
    for (size_t i = 0; i < status.size(); ++i) {
      const ExchangeCounters::Worker& worker = engine_.exchanges().Get(static_cast<int>(i));
      const LabelList labels = {{"worker", status[i].name}};
      AddSample(sent, labels, static_cast<double>(worker.dispatch_bytes));
      AddSample(received, labels, static_cast<double>(worker.combine_bytes));
      AddHistogram(round_trip, labels, worker.round_trip);
      AddHistogram(wire, labels, worker.wire);
    }
    for (MetricFamily* family : {&sent, &received, &round_trip, &wire}) {
      families.push_back(std::move(*family));
    }
  }

  void AddWorkers(std::vector<MetricFamily>& families) const {
    MetricFamily up = Family(MetricType::Gauge, "tandem_worker_up", "1 while the expert worker can be sent to.");
    MetricFamily experts = Family(MetricType::Gauge, "tandem_worker_placed_experts", "Experts placed on the worker.");
    MetricFamily transport = Family(MetricType::Gauge, "tandem_worker_transport_info",
                                    "1 with the transport of the last connection to the expert worker.");
    for (const WorkerPool::WorkerStatus& worker : workers_.Status()) {
      AddSample(up, {{"worker", worker.name}}, worker.state == WorkerPool::WorkerState::kReady ? 1 : 0);
      AddSample(experts, {{"worker", worker.name}}, static_cast<double>(worker.experts));
      if (!worker.transport.empty()) {
        AddSample(transport, {{"worker", worker.name}, {"transport", worker.transport}}, 1);
      }
    }
    families.push_back(std::move(up));
    families.push_back(std::move(experts));
    families.push_back(std::move(transport));
  }

  void AddPipelineStages(std::vector<MetricFamily>& families) const {
    const StageChain* const stages = engine_.stages();
    if (stages == nullptr) {
      return;
    }
    families.push_back(Single(MetricType::Gauge, "tandem_pipeline_stages_up",
                              "1 while all pipeline stages behind the head are connected.", stages->Health().ok() ? 1 : 0));
    MetricFamily seconds = Family(MetricType::Counter, "tandem_pipeline_stage_seconds_total",
                                  "Time of pipeline stages behind the head in steps, by stage and what it went to.");
    const std::vector<StageTotals> totals = stages->Totals();
    for (size_t i = 0; i < totals.size(); ++i) {
      const std::string stage = absl::StrCat(i + 1);
      AddSample(seconds, {{"pipeline_stage", stage}, {"state", "busy"}}, totals[i].busy_seconds);
      AddSample(seconds, {{"pipeline_stage", stage}, {"state", "expert_wait"}}, totals[i].expert_wait_seconds);
      AddSample(seconds, {{"pipeline_stage", stage}, {"state", "stage_wait"}}, totals[i].stage_wait_seconds);
    }
    families.push_back(std::move(seconds));
  }

  void AddTokens(std::vector<MetricFamily>& families) const {
    MetricFamily by_worker = Family(MetricType::Counter, "tandem_moe_worker_tokens_total",
                                    "Tokens routed to each worker, by layer.");
    MetricFamily by_expert = Family(MetricType::Counter, "tandem_moe_expert_tokens_total",
                                    "Tokens routed to each expert, by layer.");
    const scheduler::Placement& placement = workers_.placement();
    const std::vector<WorkerPool::WorkerStatus> status = workers_.Status();
    const ExpertCounters& counters = engine_.expert_counters();
    for (const int layer : placement.layers()) {
      std::vector<uint64_t> tokens(status.size(), 0);
      for (int expert = 0; expert < counters.num_experts(); ++expert) {
        const uint64_t count = counters.Get(layer, expert);
        tokens[placement.WorkersOf(layer, expert)[0]] += count;
        if (per_expert_) {
          AddSample(by_expert, {{"layer", absl::StrCat(layer)}, {"expert", absl::StrCat(expert)}},
                    static_cast<double>(count));
        }
      }
      for (size_t worker = 0; worker < status.size(); ++worker) {
        AddSample(by_worker, {{"layer", absl::StrCat(layer)}, {"worker", status[worker].name}},
                  static_cast<double>(tokens[worker]));
      }
    }
    families.push_back(std::move(by_worker));
    if (per_expert_) {
      families.push_back(std::move(by_expert));
    }
  }

  const Engine& engine_;
  const WorkerPool& workers_;
  const metrics::Labels labels_;
  const bool per_expert_;
};

}  // namespace

std::shared_ptr<prometheus::Collectable> MakeEngineMetrics(const Engine& engine, const WorkerPool& workers,
                                                           metrics::Labels labels, bool per_expert) {
  return std::make_shared<EngineMetrics>(engine, workers, std::move(labels), per_expert);
}

}  // namespace tandem::router
