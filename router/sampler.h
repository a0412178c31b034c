// From logits to a token.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "compute/logits.h"
#include "router/sampling_params.h"

namespace tandem::router {

// What a random choice depends on, and nothing else.
struct SampleKey {
  uint64_t seed = 0;
  uint64_t position = 0;  // index of the token to be drawn within its sequence
  uint32_t choice = 0;    // which of the answers to one prompt
};

// A uniform number in [0, 1): Philox 4x32-10 (Salmon et al., SC'11) with the seed as key and the rest as counter.
double UniformAt(const SampleKey& key);

// Chooses tokens. Holds scratch memory only; not thread-safe.
class Sampler {
 public:
  // The next token for `logits` [vocab_size]; entries of -infinity or NaN are never chosen while another is finite.
  // Greedy takes the lowest id among equals. Filters in vLLM's order: temperature, min_p, top_k, top_p; candidates are
  // ranked by probability, then by id.
  int32_t Sample(absl::Span<const float> logits, const SamplingParams& params, const SampleKey& key);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };

  static bool Ahead(const Candidate& a, const Candidate& b);
  void CollectAbove(absl::Span<const float> logits, double floor);
  void CollectTopK(absl::Span<const float> logits, double floor, size_t top_k);
  void KeepTopP(float top, double temperature, double top_p);

  std::vector<Candidate> candidates_;
  std::vector<float> kept_logits_;
  compute::Weights weights_;
};

}  // namespace tandem::router
