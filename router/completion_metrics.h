// Counters and latencies of requests as the API layer sees them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/metrics.h"
#include "router/token_engine.h"

namespace tandem::router {

// Thread-safe.
class CompletionMetrics {
 public:
  explicit CompletionMetrics(metrics::Registry& registry);

  // A request was refused before it reached the engine's queue, or by it.
  void Rejected(const absl::Status& status);

  void Queued();
  void Unqueued();  // the engine refused it after all

  struct First {
    absl::Duration since_submission;
    absl::Duration queue_time;
    int32_t prompt_tokens = 0;
    int32_t cached_tokens = 0;
  };
  void FirstToken(const First& first);                   // of a request
  void Token(std::optional<absl::Duration> since_last);  // every token; absent for the first of an answer

  struct Summary {
    FinishReason reason = FinishReason::kNone;
    absl::Status error;
    bool started = false;  // a token came
    int32_t prompt_tokens = 0;
    int32_t generated_tokens = 0;  // of all answers
    int32_t longest_answer = 0;    // tokens
    absl::Duration total;          // since submission
    absl::Duration decode;         // since the first token
  };
  void Finished(const Summary& summary);

  // One text that was to be embedded has ended. kStop: it has an embedding.
  void Embedded(FinishReason reason, const absl::Status& error, int32_t prompt_tokens, int32_t cached_tokens,
                absl::Duration total);

 private:
  metrics::Registry& registry_;
  metrics::Gauge& running_;
  metrics::Gauge& waiting_;
  std::map<FinishReason, metrics::Counter*> finished_;
  metrics::Counter& prompt_computed_;
  metrics::Counter& prompt_cached_;
  metrics::Counter& generated_;
  metrics::Histogram& time_to_first_token_;
  metrics::Histogram& inter_token_;
  metrics::Histogram& time_per_output_token_;
  metrics::Histogram& end_to_end_;
  metrics::Histogram& queue_;
  metrics::Histogram& prefill_;
  metrics::Histogram& decode_;
  metrics::Histogram& request_prompt_tokens_;
  metrics::Histogram& request_generated_tokens_;
};

}  // namespace tandem::router
