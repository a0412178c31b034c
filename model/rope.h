// Rotary position embeddings: frequencies and the table of cosines and sines that backends apply.
// Sources: RoFormer (arXiv:2104.09864); linear and dynamic scaling; YaRN (arXiv:2309.00071); Llama 3.1's rule.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_spec.h"

namespace tandem::model {

// Inverse frequencies [rotary_dim / 2], computed in f32 as the reference implementation does.
std::vector<float> RopeInverseFrequencies(const RopeSpec& rope);

// Factor on cosines and sines (yarn's attention factor; otherwise 1).
float RopeAttentionFactor(const RopeSpec& rope);

// [max_position, rotary_dim]: for each position the rotary_dim / 2 cosines, then as many sines.
std::vector<float> RopeTable(const RopeSpec& rope, int64_t max_position);

}  // namespace tandem::model
