#include "router/completion_metrics.h"

#include "router/api_error.h"

namespace tandem::router {
namespace {

constexpr double kLongestContext = 200'000;

metrics::Counter& PromptTokens(metrics::Registry& registry, const char* source) {
  return registry.AddCounter("tandem_prompt_tokens_total", "Prompt tokens, by where their state came from.",
                             {{"source", source}});
}

metrics::Counter* FinishedTotal(metrics::Registry& registry, const char* reason) {
  return &registry.AddCounter("tandem_requests_finished_total", "Requests that ended, by reason.",
                              {{"reason", reason}});
}

metrics::Counter& RejectedTotal(metrics::Registry& registry, const std::string& cause) {
  return registry.AddCounter("tandem_requests_rejected_total", "Requests that were refused, by cause.",
                             {{"cause", cause}});
}

metrics::Counter& ErrorsTotal(metrics::Registry& registry, const std::string& code) {
  return registry.AddCounter("tandem_request_errors_total", "Requests that failed after they were accepted.",
                             {{"code", code}});
}

}  // namespace

CompletionMetrics::CompletionMetrics(metrics::Registry& registry)
    : registry_(registry),
      running_(registry.AddGauge("tandem_requests_running", "Requests that have begun to generate.")),
      waiting_(registry.AddGauge("tandem_requests_waiting", "Requests that wait for their first token.")),
      prompt_computed_(PromptTokens(registry, "computed")),
      prompt_cached_(PromptTokens(registry, "cached")),
      generated_(registry.AddCounter("tandem_generation_tokens_total", "Generated tokens.")),
      time_to_first_token_(registry.AddHistogram("tandem_time_to_first_token_seconds",
                                                 "From submission to the first token.",
                                                 metrics::TimeToFirstTokenBuckets())),
      inter_token_(registry.AddHistogram("tandem_inter_token_latency_seconds", "Between two tokens of a request.",
                                         metrics::TokenLatencyBuckets())),
      time_per_output_token_(registry.AddHistogram("tandem_request_time_per_output_token_seconds",
                                                   "Mean time per token after the first, per request.",
                                                   metrics::TokenLatencyBuckets())),
      end_to_end_(registry.AddHistogram("tandem_e2e_request_latency_seconds", "From submission to the last token.",
                                        metrics::RequestLatencyBuckets())),
      queue_(registry.AddHistogram("tandem_request_queue_seconds", "From submission to the first step.",
                                   metrics::RequestLatencyBuckets())),
      prefill_(registry.AddHistogram("tandem_request_prefill_seconds", "From the first step to the first token.",
                                     metrics::RequestLatencyBuckets())),
      decode_(registry.AddHistogram("tandem_request_decode_seconds", "From the first token to the last.",
                                    metrics::RequestLatencyBuckets())),
      request_prompt_tokens_(registry.AddHistogram("tandem_request_prompt_tokens", "Prompt tokens per request.",
                                                   metrics::CountBuckets(kLongestContext))),
      request_generated_tokens_(registry.AddHistogram("tandem_request_generation_tokens",
                                                      "Generated tokens per request.",
                                                      metrics::CountBuckets(kLongestContext))) {
  finished_ = {{FinishReason::kStop, FinishedTotal(registry, "stop")},
               {FinishReason::kLength, FinishedTotal(registry, "length")},
               {FinishReason::kCancelled, FinishedTotal(registry, "cancelled")},
               {FinishReason::kError, FinishedTotal(registry, "error")}};
  // From the start, so that a rate sees the first of them.
  for (const char* cause : {"queue_full", "draining", "no_workers", "context_length_exceeded", "invalid_value"}) {
    RejectedTotal(registry, cause);
  }
  for (const char* code : {"no_workers", "timeout", "internal_error"}) {
    ErrorsTotal(registry, code);
  }
}

void CompletionMetrics::Rejected(const absl::Status& status) {
  RejectedTotal(registry_, ToApiError(status).code).Increment();
}

void CompletionMetrics::Queued() { waiting_.Increment(); }

void CompletionMetrics::Unqueued() { waiting_.Decrement(); }

void CompletionMetrics::FirstToken(const First& first) {
  waiting_.Decrement();
  running_.Increment();
  prompt_cached_.Increment(first.cached_tokens);
  prompt_computed_.Increment(first.prompt_tokens - first.cached_tokens);
  time_to_first_token_.Observe(absl::ToDoubleSeconds(first.since_submission));
  queue_.Observe(absl::ToDoubleSeconds(first.queue_time));
  prefill_.Observe(absl::ToDoubleSeconds(first.since_submission - first.queue_time));
}

void CompletionMetrics::Token(std::optional<absl::Duration> since_last) {
  generated_.Increment();
  if (since_last.has_value()) {
    inter_token_.Observe(absl::ToDoubleSeconds(*since_last));
  }
}

void CompletionMetrics::Finished(const Summary& summary) {
  (summary.started ? running_ : waiting_).Decrement();
  if (const auto counter = finished_.find(summary.reason); counter != finished_.end()) {
    counter->second->Increment();
  }
  if (!summary.error.ok()) {
    ErrorsTotal(registry_, ToApiError(summary.error).code).Increment();
  }
  end_to_end_.Observe(absl::ToDoubleSeconds(summary.total));
  request_prompt_tokens_.Observe(summary.prompt_tokens);
  request_generated_tokens_.Observe(summary.generated_tokens);
  if (summary.started) {
    decode_.Observe(absl::ToDoubleSeconds(summary.decode));
  }
  if (summary.longest_answer > 1) {
    time_per_output_token_.Observe(absl::ToDoubleSeconds(summary.decode) / (summary.longest_answer - 1));
  }
}

void CompletionMetrics::Embedded(FinishReason reason, const absl::Status& error, int32_t prompt_tokens,
                                 int32_t cached_tokens, absl::Duration total) {
  waiting_.Decrement();
  finished_.at(reason)->Increment();
  if (!error.ok()) {
    ErrorsTotal(registry_, ToApiError(error).code).Increment();
  }
  if (reason == FinishReason::kStop) {
    prompt_cached_.Increment(cached_tokens);
    prompt_computed_.Increment(prompt_tokens - cached_tokens);
    request_prompt_tokens_.Observe(prompt_tokens);
    end_to_end_.Observe(absl::ToDoubleSeconds(total));
  }
}

}  // namespace tandem::router
