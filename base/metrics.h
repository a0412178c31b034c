// Metrics in Prometheus' text format: a thin layer over prometheus-cpp's core. Each part of the program keeps a
// "probe", a struct of metrics with verbs, made once from a Registry; series exist, at zero, from the start.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace tandem::metrics {

using Counter = prometheus::Counter;
using Gauge = prometheus::Gauge;
using Histogram = prometheus::Histogram;
using Labels = std::map<std::string, std::string>;
using Buckets = std::vector<double>;

// Upper bounds in seconds, those that the field uses, so that dashboards compare.
Buckets TimeToFirstTokenBuckets();
Buckets TokenLatencyBuckets();    // inter-token latency, time per output token
Buckets RequestLatencyBuckets();  // end to end, queue, prefill, decode
// 1-2-5 series up to at least `max`.
Buckets CountBuckets(double max);

// Thread-safe. References stay valid as long as the registry. Asking twice for the same name and labels gives the same
// metric. Names are snake_case with the prefix tandem_ and unit; `help` is one sentence.
class Registry {
 public:
  // `common` labels are on every metric that is made here.
  explicit Registry(Labels common = {});

  Counter& AddCounter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge& AddGauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram& AddHistogram(const std::string& name, const std::string& help, const Buckets& buckets,
                          const Labels& labels = {});

  // A gauge whose value is asked for at scrape time, from the scraping thread. `owner` must keep what `value` needs
  // alive: once it has expired the gauge is left out.
  void AddGaugeFunction(const std::string& name, const std::string& help, const Labels& labels,
                        std::weak_ptr<const void> owner, std::function<double()> value);

  // Anything else that makes families at scrape time (see CounterArray). Expired ones are left out.
  void AddCollectable(std::weak_ptr<prometheus::Collectable> collectable);

  const Labels& common_labels() const { return common_; }

  // The text exposition format 0.0.4.
  std::string Serialize() const;

 private:
  Labels WithCommon(const Labels& labels) const;

  const Labels common_;
  prometheus::Registry registry_;
  mutable absl::Mutex mu_;
  std::vector<std::weak_ptr<prometheus::Collectable>> collectables_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<prometheus::Collectable>> owned_ ABSL_GUARDED_BY(mu_);
};

// A flat array of counters over one or two label dimensions, such as tokens per (layer, expert): one object, no lock
// and no lookup per increment. Label values are the indices.
class CounterArray : public prometheus::Collectable {
 public:
  struct Dimension {
    std::string label;
    int size = 0;
  };

  CounterArray(std::string name, std::string help, Labels labels, std::vector<Dimension> dimensions);

  // `index` in row-major order of the dimensions. Thread-safe, wait-free.
  void Add(size_t index, uint64_t count) { values_[index].fetch_add(count, std::memory_order_relaxed); }
  size_t size() const { return values_.size(); }

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::string name_;
  const std::string help_;
  const Labels labels_;
  const std::vector<Dimension> dimensions_;
  std::vector<std::atomic<uint64_t>> values_;
};

// process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_threads,
// process_start_time_seconds.
std::shared_ptr<prometheus::Collectable> MakeProcessMetrics();

}  // namespace tandem::metrics
