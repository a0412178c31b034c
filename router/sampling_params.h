// How the tokens of a request are chosen.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace tandem::router {

// Steps in vLLM's order: allowed_token_ids and constraint, logit_bias, min_tokens, penalties, temperature, min_p, top_k,
// top_p. temperature 0 is greedy. The defaults change nothing.
struct SamplingParams {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int32_t top_k = 0;  // 0: off
  float min_p = 0.0f;

  // presence and frequency count the tokens generated so far, repetition those and the prompt's.
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  float repetition_penalty = 1.0f;  // > 0
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> allowed_token_ids;  // empty: all

  std::optional<uint64_t> seed;  // absent: drawn at random at submission
  int32_t n = 1;                 // answers to the same prompt

  int32_t max_tokens = 0;  // > 0; the engine clamps it to the context left
  int32_t min_tokens = 0;  // end-of-sequence and stop tokens are masked before
  bool ignore_eos = false;
  std::vector<int32_t> stop_token_ids;  // besides the model's end-of-sequence tokens

  // Log probabilities of the model itself, before any of the steps above: of the chosen token and of as many of the most
  // likely ones. Absent: none.
  std::optional<int32_t> logprobs;
  std::optional<int32_t> prompt_logprobs;  // the same for every token of the prompt but the first

  bool has_penalties() const {
    return presence_penalty != 0 || frequency_penalty != 0 || repetition_penalty != 1;
  }
};

}  // namespace tandem::router
