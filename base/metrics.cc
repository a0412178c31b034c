#include "base/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "base/status.h"

namespace tandem::metrics {
namespace {

std::vector<prometheus::ClientMetric::Label> ToClientLabels(const Labels& labels) {
  std::vector<prometheus::ClientMetric::Label> out;
  for (const auto& [name, value] : labels) {
    prometheus::ClientMetric::Label label;
    label.name = name;
    label.value = value;
    out.push_back(std::move(label));
  }
  return out;
}

class GaugeFunction final : public prometheus::Collectable {
 public:
  GaugeFunction(std::string name, std::string help, const Labels& labels, std::weak_ptr<const void> owner,
                std::function<double()> value)
      : name_(std::move(name)),
        help_(std::move(help)),
        labels_(ToClientLabels(labels)),
        owner_(std::move(owner)),
        value_(std::move(value)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    const std::shared_ptr<const void> alive = owner_.lock();
    if (alive == nullptr) {
      return {};
    }
    prometheus::ClientMetric metric;
    metric.label = labels_;
    metric.gauge.value = value_();
    prometheus::MetricFamily family;
    family.name = name_;
    family.help = help_;
    family.type = prometheus::MetricType::Gauge;
    family.metric.push_back(std::move(metric));
    return {std::move(family)};
  }

 private:
  const std::string name_;
  const std::string help_;
  const std::vector<prometheus::ClientMetric::Label> labels_;
  const std::weak_ptr<const void> owner_;
  const std::function<double()> value_;
};

// The format wants all samples of a name in one group.
void MergeByName(std::vector<prometheus::MetricFamily>& families) {
  std::stable_sort(families.begin(), families.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::vector<prometheus::MetricFamily> merged;
  for (prometheus::MetricFamily& family : families) {
    if (!merged.empty() && merged.back().name == family.name) {
      std::move(family.metric.begin(), family.metric.end(), std::back_inserter(merged.back().metric));
    } else {
      merged.push_back(std::move(family));
    }
  }
  families = std::move(merged);
}

}  // namespace

Buckets TimeToFirstTokenBuckets() {
  return {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560};
}

// The two lowest bounds are ours: small models answer faster than the field's lists expect.
Buckets TokenLatencyBuckets() {
  return {.001, .005, .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
}

Buckets RequestLatencyBuckets() {
  return {.05, .1, .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
}

Buckets CountBuckets(double max) {
  Buckets bounds;
  for (double decade = 1; bounds.empty() || bounds.back() < max; decade *= 10) {
    for (double step : {1.0, 2.0, 5.0}) {
      if (bounds.empty() || bounds.back() < max) {
        bounds.push_back(decade * step);
      }
    }
  }
  return bounds;
}

Registry::Registry(Labels common)
    : common_(std::move(common)), registry_(prometheus::Registry::InsertBehavior::Merge) {}

Labels Registry::WithCommon(const Labels& labels) const {
  Labels all = common_;
  all.insert(labels.begin(), labels.end());
  return all;
}

Counter& Registry::AddCounter(const std::string& name, const std::string& help, const Labels& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(WithCommon(labels));
}

Gauge& Registry::AddGauge(const std::string& name, const std::string& help, const Labels& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add(WithCommon(labels));
}

Histogram& Registry::AddHistogram(const std::string& name, const std::string& help, const Buckets& buckets,
                                  const Labels& labels) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add(WithCommon(labels), buckets);
}

void Registry::AddGaugeFunction(const std::string& name, const std::string& help, const Labels& labels,
                                std::weak_ptr<const void> owner, std::function<double()> value) {
  auto gauge = std::make_shared<GaugeFunction>(name, help, WithCommon(labels), std::move(owner), std::move(value));
  absl::MutexLock lock(&mu_);
  collectables_.push_back(gauge);
  owned_.push_back(std::move(gauge));
}

void Registry::AddCollectable(std::weak_ptr<prometheus::Collectable> collectable) {
  absl::MutexLock lock(&mu_);
  collectables_.push_back(std::move(collectable));
}

std::string Registry::Serialize() const {
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  std::vector<std::weak_ptr<prometheus::Collectable>> collectables;
  {
    absl::MutexLock lock(&mu_);
    collectables = collectables_;
  }
  for (const auto& weak : collectables) {
    if (const auto collectable = weak.lock()) {
      std::vector<prometheus::MetricFamily> more = collectable->Collect();
      std::move(more.begin(), more.end(), std::back_inserter(families));
    }
  }
  MergeByName(families);
  return prometheus::TextSerializer().Serialize(families);
}

CounterArray::CounterArray(std::string name, std::string help, Labels labels, std::vector<Dimension> dimensions)
    : name_(std::move(name)), help_(std::move(help)), labels_(std::move(labels)), dimensions_(std::move(dimensions)) {
  TANDEM_CHECK(dimensions_.size() == 1 || dimensions_.size() == 2, name_, " needs one or two dimensions");
  size_t size = 1;
  for (const Dimension& dimension : dimensions_) {
    size *= dimension.size;
  }
  values_ = std::vector<std::atomic<uint64_t>>(size);
}

std::vector<prometheus::MetricFamily> CounterArray::Collect() const {
  prometheus::MetricFamily family;
  family.name = name_;
  family.help = help_;
  family.type = prometheus::MetricType::Counter;
  family.metric.reserve(values_.size());
  for (size_t i = 0; i < values_.size(); ++i) {
    Labels labels = labels_;
    size_t rest = i;
    for (auto dimension = dimensions_.rbegin(); dimension != dimensions_.rend(); ++dimension) {
      labels[dimension->label] = std::to_string(rest % dimension->size);
      rest /= dimension->size;
    }
    prometheus::ClientMetric metric;
    metric.label = ToClientLabels(labels);
    metric.counter.value = static_cast<double>(values_[i].load(std::memory_order_relaxed));
    family.metric.push_back(std::move(metric));
  }
  return {std::move(family)};
}

}  // namespace tandem::metrics
