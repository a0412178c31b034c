#include "router/answer.h"

#include <algorithm>
#include <utility>

namespace tandem::router {

Answer::Answer(const CompletionRequest& request, bool begins_in_reasoning, std::unique_ptr<IncrementalDecoder> decoder)
    : stop_token_ids_(request.sampling.stop_token_ids),
      min_tokens_(request.sampling.min_tokens),
      include_stop_(request.include_stop_in_output),
      prompt_only_(request.prompt_only),
      decoder_(std::move(decoder)),
      stop_(request.stop, request.include_stop_in_output) {
  if (request.output != nullptr) {
    OutputParserOptions options = *request.output;
    options.begins_in_reasoning = begins_in_reasoning;
    parser_.emplace(std::move(options));
  }
}

void Answer::Process(const TokenEvent& event, CompletionDelta& delta) {
  if (event.token.has_value()) {
    last_token_ = event.time;
    if (!prompt_only_) {
      ProcessToken(event, delta);
    }
  }
  if (stop_.match() != nullptr) {
    delta.finish_reason = FinishReason::kStop;
    delta.stop_reason = *stop_.match();
  } else if (event.finish_reason != FinishReason::kNone) {
    AppendText(decoder_->Flush(), delta);
    Emit(stop_.match() == nullptr ? stop_.Flush() : "", delta);
    delta.finish_reason = prompt_only_ && event.token.has_value() ? FinishReason::kLength : event.finish_reason;
    delta.error = event.error;
  }
  over_ = delta.finish_reason != FinishReason::kNone;
  if (parser_.has_value()) {
    if (over_) parser_->Finish(delta.events);
    delta.has_tool_calls = parser_->has_tool_calls();
  }
}

void Answer::ProcessToken(const TokenEvent& event, CompletionDelta& delta) {
  const int32_t token = *event.token;
  ++tokens_;
  delta.token_ids.push_back(token);
  if (event.logprobs != nullptr) {
    delta.logprobs.push_back(event.logprobs);
  }
  const bool ends_here = event.finish_reason == FinishReason::kStop;
  if (ends_here && IsStopToken(token)) {
    delta.stop_reason = token;
  }
  const bool was_reasoning = parser_.has_value() && parser_->in_reasoning();
  if (!ends_here || include_stop_) {
    AppendText(decoder_->Push(token), delta);
  }
  reasoning_tokens_ += was_reasoning && parser_->in_reasoning();  // the tags do not count
}

// Stop strings count only once the minimum length is reached.
void Answer::AppendText(const std::string& text, CompletionDelta& delta) {
  Emit(tokens_ < min_tokens_ ? text : stop_.Push(text), delta);
}

void Answer::Emit(const std::string& text, CompletionDelta& delta) {
  if (parser_.has_value()) {
    parser_->Push(text, delta.events);
  } else {
    delta.text += text;
  }
}

bool Answer::IsStopToken(int32_t token) const {
  return std::find(stop_token_ids_.begin(), stop_token_ids_.end(), token) != stop_token_ids_.end();
}

}  // namespace tandem::router
