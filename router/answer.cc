#include "router/answer.h"

#include <algorithm>
#include <utility>

namespace tandem::router {

Answer::Answer(const CompletionRequest& request, std::unique_ptr<IncrementalDecoder> decoder)
    : stop_token_ids_(request.sampling.stop_token_ids),
      min_tokens_(request.sampling.min_tokens),
      include_stop_(request.include_stop_in_output),
      prompt_only_(request.prompt_only),
      decoder_(std::move(decoder)),
      stop_(request.stop, request.include_stop_in_output) {}

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
    delta.text += stop_.match() == nullptr ? stop_.Flush() : "";
    delta.finish_reason = prompt_only_ && event.token.has_value() ? FinishReason::kLength : event.finish_reason;
    delta.error = event.error;
  }
  over_ = delta.finish_reason != FinishReason::kNone;
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
  if (!ends_here || include_stop_) {
    AppendText(decoder_->Push(token), delta);
  }
}

// Stop strings count only once the minimum length is reached.
void Answer::AppendText(const std::string& text, CompletionDelta& delta) {
  delta.text += tokens_ < min_tokens_ ? text : stop_.Push(text);
}

bool Answer::IsStopToken(int32_t token) const {
  return std::find(stop_token_ids_.begin(), stop_token_ids_.end(), token) != stop_token_ids_.end();
}

}  // namespace tandem::router
