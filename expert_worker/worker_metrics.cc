#include "expert_worker/worker_metrics.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::expert_worker {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// The probe's numbers as counters, read when scraped.
class ProbeMetrics : public prometheus::Collectable {
 public:
  ProbeMetrics(std::string worker_id, const ExpertProbe& probe, bool per_expert)
      : worker_id_(std::move(worker_id)), probe_(probe), per_expert_(per_expert) {}

  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> families;
    const auto add = [&](const char* name, const char* help, double value) {
      families.push_back(Family(name, help));
      families.back().metric.push_back(Sample({}, value));
    };
    add("tandem_worker_frames_total", "Dispatch frames computed.", static_cast<double>(probe_.frames()));
    add("tandem_worker_rejected_frames_total", "Frames refused at once.",
        static_cast<double>(probe_.rejected_frames()));
    add("tandem_worker_expired_frames_total", "Frames whose deadline passed while they waited.",
        static_cast<double>(probe_.expired_frames()));
    add("tandem_worker_abandoned_frames_total", "Frames dropped because their router had gone.",
        static_cast<double>(probe_.abandoned_frames()));
    add("tandem_worker_batches_total", "Grouped computations; frames / batches is how many joined.",
        static_cast<double>(probe_.batches()));
    add("tandem_worker_rows_total", "Rows received.", static_cast<double>(probe_.rows()));
    add("tandem_worker_pairs_total", "(row, expert) pairs computed.", static_cast<double>(probe_.pairs()));
    add("tandem_worker_compute_seconds_total", "Time spent computing.", static_cast<double>(probe_.compute_us()) / 1e6);
    add("tandem_worker_queue_seconds_total", "Time that frames waited.", static_cast<double>(probe_.queue_us()) / 1e6);
    AddLayers(families);
    if (per_expert_) {
      families.push_back(ExpertTokens());
    }
    return families;
  }

 private:
  static MetricFamily Family(const char* name, const char* help) {
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = MetricType::Counter;
    return family;
  }

  ClientMetric Sample(std::vector<ClientMetric::Label> labels, double value) const {
    ClientMetric metric;
    labels.insert(labels.begin(), {"worker", worker_id_});
    metric.label = std::move(labels);
    metric.counter.value = value;
    return metric;
  }

  // Only layers that have computed something; models also have layers without experts.
  void AddLayers(std::vector<MetricFamily>& families) const {
    using Layer = ExpertProbe::Layer;
    const auto add = [&](const char* name, const char* help, ExpertProbe::Counter Layer::*counter) {
      families.push_back(Family(name, help));
      for (int layer = 0; layer < probe_.num_layers(); ++layer) {
        if (probe_.layer(layer).frames > 0) {
          families.back().metric.push_back(
              Sample({{"layer", absl::StrCat(layer)}}, static_cast<double>(probe_.layer(layer).*counter)));
        }
      }
    };
    add("tandem_worker_layer_frames_total", "Dispatch frames computed for a layer.", &Layer::frames);
    add("tandem_worker_layer_frame_experts_total", "Distinct experts of each frame, added up.", &Layer::frame_experts);
    add("tandem_worker_layer_batches_total", "Grouped computations of a layer.", &Layer::batches);
    add("tandem_worker_layer_batch_experts_total", "Distinct experts of each grouped computation, added up.",
        &Layer::batch_experts);
    add("tandem_worker_layer_tokens_total", "(row, expert) pairs computed for a layer.", &Layer::tokens);
  }

  // Only experts that have computed something: the full matrix may have tens of thousands of series.
  MetricFamily ExpertTokens() const {
    MetricFamily family = Family("tandem_worker_expert_tokens_total", "Tokens computed by each expert.");
    for (int layer = 0; layer < probe_.num_layers(); ++layer) {
      for (int expert = 0; expert < probe_.num_experts(); ++expert) {
        const int64_t tokens = probe_.tokens({layer, expert});
        if (tokens > 0) {
          family.metric.push_back(
              Sample({{"layer", absl::StrCat(layer)}, {"expert", absl::StrCat(expert)}}, static_cast<double>(tokens)));
        }
      }
    }
    return family;
  }

  const std::string worker_id_;
  const ExpertProbe& probe_;
  const bool per_expert_;
};

}  // namespace

void WorkerMetricsServer::Register(ExpertWorkerServer& worker, bool per_expert) {
  probe_metrics_ = std::make_shared<ProbeMetrics>(registry_.common_labels().at("worker"), worker.probe(), per_expert);
  process_metrics_ = metrics::MakeProcessMetrics();
  registry_.AddCollectable(probe_metrics_);
  registry_.AddCollectable(process_metrics_);
  const auto gauge = [&](const char* name, const char* help, std::function<double()> value) {
    registry_.AddGaugeFunction(name, help, {}, alive_, std::move(value));
  };
  gauge("tandem_worker_experts", "Experts held.",
        [&worker] { return static_cast<double>(worker.store().num_experts()); });
  gauge("tandem_worker_weights_bytes", "Memory held by expert weights.",
        [&worker] { return static_cast<double>(worker.store().weights_bytes()); });
  gauge("tandem_worker_queue_depth", "Frames waiting.",
        [&worker] { return static_cast<double>(worker.executor().queue_depth()); });
}

absl::StatusOr<std::unique_ptr<WorkerMetricsServer>> WorkerMetricsServer::Start(const std::string& listen,
                                                                                const std::string& worker_id,
                                                                                ExpertWorkerServer& worker,
                                                                                bool per_expert) {
  const size_t colon = listen.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("'", listen, "' is not HOST:PORT"));
  }
  std::unique_ptr<WorkerMetricsServer> metrics(new WorkerMetricsServer(worker_id));
  metrics->Register(worker, per_expert);
  http::Router router;
  router.Add("GET", "/metrics", [m = metrics.get()](const http::Request&, const auto& writer) {
    writer->Send({.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = m->registry_.Serialize()});
  });
  router.Add("GET", "/health",
             [](const http::Request&, const auto& writer) { writer->Send({.body = "{\"status\":\"ok\"}"}); });
  http::ServerOptions options;
  options.host = listen.substr(0, colon);
  options.port = static_cast<uint16_t>(port);
  ASSIGN_OR_RETURN(metrics->server_, http::Server::Start(std::move(options), std::move(router)));
  return metrics;
}

}  // namespace tandem::expert_worker
