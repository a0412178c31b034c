// Choice of experts.
#pragma once

#include <cstdint>

#include "compute/backend.h"

namespace tandem::compute::cpu {

inline constexpr int kMaxExperts = 4096;
inline constexpr int kMaxTopK = 64;

// One row: logits [num_experts] become scores in place; ids and weights [top_k] are written. bias may be null.
// NaN scores are never preferred, so the ids are always distinct and valid.
void SelectExperts(const GateArgs& args, const float* bias, float* logits, int32_t* ids, float* weights);

// CHECKs what SelectExperts relies on.
void ValidateGate(const GateArgs& args);

}  // namespace tandem::compute::cpu
