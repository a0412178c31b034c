#include "router/token_chooser.h"

#include <cmath>

#include "base/status.h"
#include "router/logprobs.h"

namespace tandem::router {

absl::Status TokenChooser::Prepare(const Sequence& sequence, absl::Span<float> logits) {
  logits_ = raw_logits_ = logits;
  if (sequence.rules->empty() && sequence.constraint == nullptr) {
    return absl::OkStatus();
  }
  if (sequence.request->request.sampling.logprobs.has_value()) {
    copy_.assign(logits.begin(), logits.end());
    raw_logits_ = copy_;
  }
  absl::Span<const uint64_t> mask;
  if (sequence.constraint != nullptr) {
    ASSIGN_OR_RETURN(mask, sequence.constraint->Await());
  }
  sequence.rules->Apply(logits, sequence.generated(), mask);
  return absl::OkStatus();
}

absl::StatusOr<TokenChooser::Choice> TokenChooser::Draw(const Sequence& sequence, int32_t choice) {
  const RequestState& request = *sequence.request;
  const SamplingParams& sampling = request.request.sampling;
  const SampleKey key = {.seed = request.seed, .position = sequence.tokens.size(), .choice = static_cast<uint32_t>(choice)};
  Choice result;
  result.token = sampler_.Sample(logits_, sampling, key);
  if (std::isinf(logits_[result.token]) && logits_[result.token] < 0) {
    return absl::InvalidArgumentError(
        "no token may come next: allowed_token_ids, logit_bias and the output format exclude all of them");
  }
  if (sampling.logprobs.has_value()) {
    result.logprobs =
        std::make_shared<const PositionLogprobs>(LogprobsOf(raw_logits_, result.token, *sampling.logprobs));
  }
  return result;
}

}  // namespace tandem::router
