#include "cli/load/report.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tandem::cli {
namespace {

constexpr double kMaxLatenessMs = 10;
constexpr double kMaxCpuCores = 0.8;

bool IsGood(const RequestRecord& record, const Slo& slo) {
  return record.ok() && record.ttft_ms() <= slo.ttft_ms.value_or(HUGE_VAL) &&
         record.tpot_ms() <= slo.itl_ms.value_or(HUGE_VAL);
}

nlohmann::ordered_json ToJson(const Distribution& values) {
  return {{"mean", values.mean}, {"p50", values.p50}, {"p90", values.p90}, {"p99", values.p99}, {"max", values.max}};
}

std::string Row(absl::string_view name, const Distribution& values) {
  return absl::StrFormat("%-22s %10.2f %10.2f %10.2f %10.2f %10.2f\n", name, values.mean, values.p50, values.p90,
                         values.p99, values.max);
}

}  // namespace

LoadSummary Summarize(const LoadResult& result, const Slo& slo) {
  LoadSummary summary;
  std::vector<double> ttft, tpot, itl, e2e, lateness;
  int64_t good = 0;
  for (const RequestRecord& record : result.records) {
    lateness.push_back(record.send_lateness_ms());
    if (!record.ok()) {
      ++summary.errors[record.error];
      continue;
    }
    ++summary.completed;
    good += IsGood(record, slo) ? 1 : 0;
    summary.input_tokens += record.input_tokens;
    summary.output_tokens += record.output_tokens;
    ttft.push_back(record.ttft_ms());
    e2e.push_back(record.e2e_ms());
    if (record.output_tokens > 1) {
      tpot.push_back(record.tpot_ms());
    }
    itl.insert(itl.end(), record.gaps_ms.begin(), record.gaps_ms.end());
  }
  summary.requests = static_cast<int64_t>(result.records.size());
  summary.unfinished = result.unfinished;
  summary.duration_s = absl::ToDoubleSeconds(result.end - result.start);
  summary.requests_per_second = static_cast<double>(summary.completed) / summary.duration_s;
  summary.output_tokens_per_second = static_cast<double>(summary.output_tokens) / summary.duration_s;
  summary.total_tokens_per_second =
      static_cast<double>(summary.input_tokens + summary.output_tokens) / summary.duration_s;
  summary.peak_in_flight = result.peak_in_flight;
  summary.ttft = Describe(std::move(ttft));
  summary.tpot = Describe(std::move(tpot));
  summary.itl = Describe(std::move(itl));
  summary.e2e = Describe(std::move(e2e));
  summary.send_lateness = Describe(std::move(lateness));
  summary.generator_cpu_cores = result.cpu_cores;
  if (!slo.empty()) {
    summary.goodput = static_cast<double>(good) / summary.duration_s;
  }
  return summary;
}

std::string Doubts(const LoadSummary& summary, const LoadPlan& plan) {
  std::string doubts;
  // A burst cannot be sent in no time; its lateness is a figure, not a fault.
  if (std::isfinite(plan.request_rate) && summary.send_lateness.p99 > kMaxLatenessMs) {
    absl::StrAppend(&doubts, absl::StrFormat("the generator could not keep up: 1 %% of the requests left more than "
                                             "%.0f ms late; the latencies include that\n",
                                             summary.send_lateness.p99));
  }
  if (summary.generator_cpu_cores > kMaxCpuCores) {
    absl::StrAppend(&doubts, absl::StrFormat("the generator used %.2f cores: its own work is in the latencies; spread "
                                             "the load over several generators\n",
                                             summary.generator_cpu_cores));
  }
  return doubts;
}

nlohmann::ordered_json ToJson(const LoadSummary& summary) {
  nlohmann::ordered_json json = {{"requests", summary.requests},
                                 {"completed", summary.completed},
                                 {"failed", summary.requests - summary.completed},
                                 {"unfinished", summary.unfinished},
                                 {"errors", summary.errors},
                                 {"duration_s", summary.duration_s},
                                 {"input_tokens", summary.input_tokens},
                                 {"output_tokens", summary.output_tokens},
                                 {"requests_per_second", summary.requests_per_second},
                                 {"output_tokens_per_second", summary.output_tokens_per_second},
                                 {"total_tokens_per_second", summary.total_tokens_per_second},
                                 {"peak_in_flight", summary.peak_in_flight},
                                 {"ttft_ms", ToJson(summary.ttft)},
                                 {"tpot_ms", ToJson(summary.tpot)},
                                 {"itl_ms", ToJson(summary.itl)},
                                 {"e2e_ms", ToJson(summary.e2e)},
                                 {"send_lateness_ms", ToJson(summary.send_lateness)},
                                 {"generator_cpu_cores", summary.generator_cpu_cores}};
  if (summary.goodput.has_value()) {
    json["goodput_requests_per_second"] = *summary.goodput;
  }
  return json;
}

std::string ToTable(const LoadSummary& summary) {
  std::string table;
  const auto line = [&](absl::string_view name, const std::string& value) {
    absl::StrAppendFormat(&table, "%-22s %s\n", name, value);
  };
  line("completed", absl::StrCat(summary.completed, " of ", summary.requests + summary.unfinished));
  for (const auto& [error, count] : summary.errors) {
    line(absl::StrCat("failed: ", error), absl::StrCat(count));
  }
  line("duration", absl::StrFormat("%.2f s", summary.duration_s));
  line("most at a time", absl::StrCat(summary.peak_in_flight));
  line("tokens", absl::StrFormat("%d in, %d out", summary.input_tokens, summary.output_tokens));
  line("requests/s", absl::StrFormat("%.2f", summary.requests_per_second));
  if (summary.goodput.has_value()) {
    line("goodput, requests/s", absl::StrFormat("%.2f", *summary.goodput));
  }
  line("output tokens/s", absl::StrFormat("%.1f", summary.output_tokens_per_second));
  line("all tokens/s", absl::StrFormat("%.1f", summary.total_tokens_per_second));
  absl::StrAppendFormat(&table, "\n%-22s %10s %10s %10s %10s %10s\n", "milliseconds", "mean", "p50", "p90", "p99",
                        "max");
  absl::StrAppend(&table, Row("time to first token", summary.ttft), Row("time per output token", summary.tpot),
                  Row("inter-token latency", summary.itl), Row("end to end", summary.e2e),
                  Row("send lateness", summary.send_lateness));
  return table;
}

}  // namespace tandem::cli
