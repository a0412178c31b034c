// One of the n answers of a completion: from token events to text. Internal to the completion layer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "router/completion.h"
#include "router/stop_matcher.h"

namespace tandem::router {

// Not thread-safe.
class Answer {
 public:
  Answer(const CompletionRequest& request, bool begins_in_reasoning, std::unique_ptr<IncrementalDecoder> decoder);

  // Adds what `event` brings to `delta`, whose finish_reason is set when the answer is over: by the engine, or by a
  // stop string. After that no more events may come.
  void Process(const TokenEvent& event, CompletionDelta& delta);

  bool over() const { return over_; }
  int32_t tokens() const { return tokens_; }
  int32_t reasoning_tokens() const { return reasoning_tokens_; }
  absl::Time last_token() const { return last_token_; }  // when it came; InfinitePast before the first

 private:
  void ProcessToken(const TokenEvent& event, CompletionDelta& delta);
  void AppendText(const std::string& text, CompletionDelta& delta);
  void Emit(const std::string& text, CompletionDelta& delta);
  bool IsStopToken(int32_t token) const;

  const std::vector<int32_t> stop_token_ids_;
  const int32_t min_tokens_;
  const bool include_stop_;
  const bool prompt_only_;
  std::unique_ptr<IncrementalDecoder> decoder_;
  StopMatcher stop_;
  std::optional<OutputParser> parser_;
  int32_t tokens_ = 0;
  int32_t reasoning_tokens_ = 0;
  absl::Time last_token_ = absl::InfinitePast();
  bool over_ = false;
};

}  // namespace tandem::router
