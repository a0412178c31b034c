#include "cli/load/report.h"

#include <gmock/gmock.h>

#include <limits>

namespace tandem::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

const absl::Time kStart = absl::FromUnixSeconds(1000);

absl::Time At(double ms) { return kStart + absl::Milliseconds(ms); }

// One request that was due at `due` and brought a token at each of `outputs`.
RequestRecord Request(double due, std::vector<double> outputs, std::string error = "") {
  RequestRecord record;
  RequestMeter meter(
      At(due), [](int64_t) {}, [&](RequestRecord result) { record = std::move(result); });
  meter.Sent(At(due + 1));
  for (const double time : outputs) {
    meter.Output(At(time), 0);
  }
  meter.Usage(10, static_cast<int64_t>(outputs.size()));
  meter.End(At(outputs.empty() ? due + 5 : outputs.back() + 1), std::move(error));
  return record;
}

LoadResult Result(std::vector<RequestRecord> records) {
  return {.records = std::move(records), .start = kStart, .end = kStart + absl::Seconds(2)};
}

TEST(RequestMeterTest, LatenciesCountFromWhenTheRequestWasDue) {
  const RequestRecord record = Request(100, {150, 170, 230});
  EXPECT_DOUBLE_EQ(record.ttft_ms(), 50);
  EXPECT_DOUBLE_EQ(record.e2e_ms(), 131);
  EXPECT_DOUBLE_EQ(record.tpot_ms(), 40);
  EXPECT_DOUBLE_EQ(record.send_lateness_ms(), 1);
  EXPECT_THAT(record.gaps_ms, testing::ElementsAre(20, 60));
}

TEST(RequestMeterTest, CountsTokensAsTheServerDoesWhereItDoes) {
  int64_t live = 0;
  RequestRecord record;
  RequestMeter meter(
      kStart, [&](int64_t tokens) { live += tokens; }, [&](RequestRecord result) { record = std::move(result); });
  meter.Output(At(1), 3);
  meter.Output(At(2), 5);
  EXPECT_EQ(live, 5);
  meter.Usage(7, 6);
  meter.End(At(3), "");
  EXPECT_EQ(live, 6);
  EXPECT_EQ(record.input_tokens, 7);
  EXPECT_EQ(record.output_tokens, 6);
  EXPECT_EQ(record.gaps_ms.size(), 1);
}

TEST(RequestMeterTest, AnAnswerWithoutOutputIsAFailure) { EXPECT_EQ(Request(0, {}).error, "no_output"); }

TEST(ReportTest, AddsUpCompleteRequestsAndCountsErrorsByKind) {
  const LoadSummary summary = Summarize(Result({Request(0, {10, 20}), Request(0, {30, 40, 50}), Request(0, {}, "429"),
                                                Request(0, {5}, "timeout"), Request(0, {}, "429")}),
                                        {});
  EXPECT_EQ(summary.requests, 5);
  EXPECT_EQ(summary.completed, 2);
  EXPECT_THAT(summary.errors, UnorderedElementsAre(Pair("429", 2), Pair("timeout", 1)));
  EXPECT_EQ(summary.output_tokens, 5);
  EXPECT_EQ(summary.input_tokens, 20);
  EXPECT_DOUBLE_EQ(summary.duration_s, 2);
  EXPECT_DOUBLE_EQ(summary.requests_per_second, 1);
  EXPECT_DOUBLE_EQ(summary.output_tokens_per_second, 2.5);
  EXPECT_DOUBLE_EQ(summary.total_tokens_per_second, 12.5);
  EXPECT_EQ(summary.ttft.count, 2);
  EXPECT_DOUBLE_EQ(summary.ttft.max, 30);
  EXPECT_EQ(summary.itl.count, 3);
  EXPECT_FALSE(summary.goodput.has_value());
}

TEST(ReportTest, GoodputCountsRequestsWithinAllLimits) {
  const LoadResult result = Result(
      {Request(0, {10, 20}), Request(0, {60, 70}), Request(0, {10, 90}), Request(0, {10}), Request(0, {1}, "timeout")});
  EXPECT_DOUBLE_EQ(*Summarize(result, {.ttft_ms = 50}).goodput, 1.5);
  EXPECT_DOUBLE_EQ(*Summarize(result, {.itl_ms = 50}).goodput, 1.5);
  EXPECT_DOUBLE_EQ(*Summarize(result, {.ttft_ms = 50, .itl_ms = 50}).goodput, 1);
}

TEST(ReportTest, SaysWhenTheGeneratorWasTheLimit) {
  LoadSummary summary;
  EXPECT_THAT(Doubts(summary, {.request_rate = 10}), IsEmpty());
  summary.send_lateness.p99 = 50;
  EXPECT_THAT(Doubts(summary, {.request_rate = 10}), HasSubstr("could not keep up"));
  EXPECT_THAT(Doubts(summary, {.request_rate = std::numeric_limits<double>::infinity()}), IsEmpty());
  summary.generator_cpu_cores = 0.95;
  EXPECT_THAT(Doubts(summary, {.concurrency = 10}), HasSubstr("0.95 cores"));
}

TEST(ReportTest, TableAndJsonAgree) {
  const LoadSummary summary = Summarize(Result({Request(0, {10, 20}), Request(0, {}, "429")}), {.ttft_ms = 50});
  const std::string table = ToTable(summary);
  EXPECT_THAT(table, HasSubstr("completed              1 of 2\n"));
  EXPECT_THAT(table, HasSubstr("failed: 429            1\n"));
  EXPECT_THAT(table, HasSubstr("goodput, requests/s    0.50\n"));
  const nlohmann::ordered_json json = ToJson(summary);
  EXPECT_EQ(json["completed"], 1);
  EXPECT_EQ(json["failed"], 1);
  EXPECT_EQ(json["errors"]["429"], 1);
  EXPECT_EQ(json["goodput_requests_per_second"], 0.5);
  EXPECT_EQ(json["ttft_ms"]["p50"], 10);
}

}  // namespace
}  // namespace tandem::cli
