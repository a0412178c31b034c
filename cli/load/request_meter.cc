#include "cli/load/request_meter.h"

#include <algorithm>

namespace tandem::cli {

void RequestMeter::Output(absl::Time now, int64_t total_tokens) {
  if (record_.first_output == absl::InfiniteFuture()) {
    record_.first_output = now;
  } else {
    record_.gaps_ms.push_back(absl::ToDoubleMilliseconds(now - record_.last_output));
  }
  record_.last_output = now;
  const int64_t before = record_.output_tokens;
  record_.output_tokens = total_tokens > 0 ? std::max(total_tokens, before) : before + 1;
  on_output_(record_.output_tokens - before);
}

void RequestMeter::Usage(int64_t input_tokens, int64_t output_tokens) {
  record_.input_tokens = input_tokens;
  on_output_(output_tokens - record_.output_tokens);
  record_.output_tokens = output_tokens;
}

void RequestMeter::End(absl::Time now, std::string error) {
  record_.end = now;
  record_.error = std::move(error);
  if (record_.ok() && record_.first_output == absl::InfiniteFuture()) {
    record_.error = "no_output";
  }
  on_end_(std::move(record_));
}

}  // namespace tandem::cli
