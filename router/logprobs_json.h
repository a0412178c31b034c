// Log probabilities as OpenAI's responses and vLLM's extensions write them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "router/text_codec.h"
#include "router/token_engine.h"

namespace tandem::router {

using LogprobList = std::vector<std::shared_ptr<const PositionLogprobs>>;

// Const methods only; thread-safe. `codec` must outlive it.
class LogprobsJson {
 public:
  // With `tokens_as_ids` a token is named "token_id:17". Of the most likely tokens, `top` are shown below.
  LogprobsJson(const TextCodec* codec, bool tokens_as_ids) : codec_(codec), tokens_as_ids_(tokens_as_ids) {}

  // Chat: {"content": [{token, logprob, bytes, top_logprobs}]}. `bytes` are the token's own, maybe half a character.
  Json Chat(const LogprobList& positions, int32_t top) const;

  // Text completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. A null position (the first of a
  // prompt, of which only the token is known) is named by `first_token`. The chosen token is always among the most
  // likely ones, which therefore may be one more than `top`. `offset` is the number of characters before the first
  // position, and afterwards that behind the last; special tokens have none.
  Json Text(const LogprobList& positions, int32_t top, int32_t first_token, int64_t& offset) const;

  // vLLM's prompt_logprobs: null for the first token, then {"ID": {logprob, rank, decoded_token}} for every other.
  Json Prompt(const std::vector<PositionLogprobs>& positions, int32_t top) const;

 private:
  std::string Name(int32_t token) const;
  Json ChatItem(const TokenLogprob& item) const;
  Json TextItem(const PositionLogprobs& position, int32_t top) const;
  int64_t Advance(int32_t token, int64_t& offset) const;

  const TextCodec* const codec_;
  const bool tokens_as_ids_;
};

}  // namespace tandem::router
