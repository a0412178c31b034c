// What a load run says: one summary, as a table for people or as JSON.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/load/driver.h"
#include "cli/load/statistics.h"

namespace tandem::cli {

// A request is good when it is complete and within all that is set.
struct Slo {
  std::optional<double> ttft_ms;
  std::optional<double> itl_ms;  // the request's mean time of a token after the first

  bool empty() const { return !ttft_ms.has_value() && !itl_ms.has_value(); }
};

// Latencies are those of complete requests, in milliseconds, counted from the time when a request was due.
struct LoadSummary {
  int64_t requests = 0;  // that ended
  int64_t completed = 0;
  int64_t unfinished = 0;
  std::map<std::string, int64_t> errors;  // by kind
  double duration_s = 0;
  int64_t input_tokens = 0;  // of complete requests
  int64_t output_tokens = 0;
  double requests_per_second = 0;
  double output_tokens_per_second = 0;
  double total_tokens_per_second = 0;
  int peak_in_flight = 0;
  Distribution ttft;  // time to first token
  Distribution tpot;  // time per output token after the first, one value a request
  Distribution itl;   // between two pieces of an answer, one value a gap
  Distribution e2e;
  Distribution send_lateness;  // of all requests: how late the generator itself was
  double generator_cpu_cores = 0;
  std::optional<double> goodput;  // good requests a second; only with an SLO
};

LoadSummary Summarize(const LoadResult& result, const Slo& slo);

// Why the figures should not be trusted ("the generator …"); empty when nothing speaks against them.
std::string Doubts(const LoadSummary& summary, const LoadPlan& plan);

nlohmann::ordered_json ToJson(const LoadSummary& summary);
std::string ToTable(const LoadSummary& summary);

}  // namespace tandem::cli
