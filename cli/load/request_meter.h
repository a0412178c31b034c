// The measurements of one request, taken while its answer streams in.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace tandem::cli {

struct RequestRecord {
  absl::Time scheduled;                              // when it was due; latencies count from here
  absl::Time sent = absl::InfiniteFuture();          // when the generator got round to it
  absl::Time first_output = absl::InfiniteFuture();  // infinite: none came
  absl::Time last_output = absl::InfiniteFuture();
  absl::Time end;
  std::vector<double> gaps_ms;  // between pieces of the answer
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  std::string error;  // empty: complete. Else an HTTP status, a gRPC code, or what broke ("connection", "timeout" …)

  bool ok() const { return error.empty(); }
  double ttft_ms() const { return absl::ToDoubleMilliseconds(first_output - scheduled); }
  double e2e_ms() const { return absl::ToDoubleMilliseconds(end - scheduled); }
  double send_lateness_ms() const { return absl::ToDoubleMilliseconds(sent - scheduled); }
  // Mean time of a token after the first; 0 for answers of one token.
  double tpot_ms() const {
    return output_tokens < 2
               ? 0
               : absl::ToDoubleMilliseconds(last_output - first_output) / static_cast<double>(output_tokens - 1);
  }
};

// Filled by a Target, on one thread at a time. `on_output` gets the number of new tokens, `on_end` the finished record.
class RequestMeter {
 public:
  RequestMeter(absl::Time scheduled, std::function<void(int64_t tokens)> on_output,
               std::function<void(RequestRecord)> on_end)
      : on_output_(std::move(on_output)), on_end_(std::move(on_end)) {
    record_.scheduled = scheduled;
  }

  void Sent(absl::Time now) { record_.sent = now; }

  // A piece of the answer has come. `total_tokens`: generated so far as the server counts; 0 where it does not, then
  // every piece counts as one token.
  void Output(absl::Time now, int64_t total_tokens);

  // The server's final counts, which win over our own.
  void Usage(int64_t input_tokens, int64_t output_tokens);

  // Last, once.
  void End(absl::Time now, std::string error);

 private:
  const std::function<void(int64_t)> on_output_;
  const std::function<void(RequestRecord)> on_end_;
  RequestRecord record_;
};

}  // namespace tandem::cli
