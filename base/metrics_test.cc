#include "base/metrics.h"

#include <gmock/gmock.h>

#include "absl/strings/str_split.h"

namespace tandem::metrics {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(MetricsTest, SerializesWithHelpTypeAndCommonLabels) {
  Registry registry(Labels{{"model", "m"}});
  registry.AddCounter("tandem_things_total", "Things seen.", {{"kind", "a"}}).Increment(3);
  registry.AddGauge("tandem_level_ratio", "Level.").Set(0.5);
  const std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr("# HELP tandem_things_total Things seen.\n# TYPE tandem_things_total counter\n"));
  EXPECT_THAT(text, HasSubstr("tandem_things_total{kind=\"a\",model=\"m\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("tandem_level_ratio{model=\"m\"} 0.5\n"));
}

TEST(MetricsTest, AskingTwiceGivesTheSameMetric) {
  Registry registry;
  EXPECT_EQ(&registry.AddCounter("tandem_x_total", "X.", {{"a", "1"}}),
            &registry.AddCounter("tandem_x_total", "X.", {{"a", "1"}}));
  EXPECT_NE(&registry.AddCounter("tandem_x_total", "X.", {{"a", "1"}}),
            &registry.AddCounter("tandem_x_total", "X.", {{"a", "2"}}));
}

TEST(MetricsTest, HistogramCountsIntoBuckets) {
  Registry registry;
  Histogram& histogram = registry.AddHistogram("tandem_wait_seconds", "Wait.", {1, 2});
  histogram.Observe(0.5);
  histogram.Observe(1.5);
  const std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr("tandem_wait_seconds_bucket{le=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tandem_wait_seconds_bucket{le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tandem_wait_seconds_sum 2\n"));
}

TEST(MetricsTest, CounterArrayIsOneFamilyWithIndexLabels) {
  Registry registry;
  auto tokens = std::make_shared<CounterArray>("tandem_moe_expert_tokens_total", "Tokens.", Labels{{"model", "m"}},
                                               std::vector<CounterArray::Dimension>{{"layer", 2}, {"expert", 3}});
  registry.AddCollectable(tokens);
  tokens->Add(1 * 3 + 2, 7);
  const std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr("tandem_moe_expert_tokens_total{expert=\"2\",layer=\"1\",model=\"m\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("tandem_moe_expert_tokens_total{expert=\"0\",layer=\"0\",model=\"m\"} 0\n"));
  tokens.reset();
  EXPECT_THAT(registry.Serialize(), Not(HasSubstr("tandem_moe_expert_tokens_total")));
}

TEST(MetricsTest, GaugeFunctionIsAskedAtScrapeTimeAndEndsWithItsOwner) {
  Registry registry;
  auto level = std::make_shared<int>(1);
  for (const char* worker : {"a", "b"}) {
    registry.AddGaugeFunction("tandem_level", "Level.", {{"worker", worker}}, level,
                              [raw = level.get()] { return *raw; });
  }
  *level = 5;
  const std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr("tandem_level{worker=\"a\"} 5\ntandem_level{worker=\"b\"} 5\n"));
  const std::vector<std::string> parts = absl::StrSplit(text, "# TYPE tandem_level gauge");
  EXPECT_EQ(parts.size(), 2u) << "one family, whoever made the samples";
  level.reset();
  EXPECT_THAT(registry.Serialize(), Not(HasSubstr("tandem_level")));
}

TEST(MetricsTest, CountBucketsAreA125Series) {
  EXPECT_THAT(CountBuckets(40), ElementsAre(1, 2, 5, 10, 20, 50));
  EXPECT_THAT(CountBuckets(1), ElementsAre(1));
}

TEST(MetricsTest, ProcessMetricsAreThere) {
  Registry registry;
  const auto process = MakeProcessMetrics();
  registry.AddCollectable(process);
  const std::string text = registry.Serialize();
  EXPECT_THAT(text, testing::ContainsRegex("process_resident_memory_bytes [1-9]"));
  EXPECT_THAT(text, testing::ContainsRegex("process_threads [1-9]"));
  EXPECT_THAT(text, testing::ContainsRegex("process_start_time_seconds [1-9]"));
}

}  // namespace
}  // namespace tandem::metrics
