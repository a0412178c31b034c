// Small random experts for tests, and frames for them. Everything follows from the seeds.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compute/backend.h"
#include "expert_worker/expert_store.h"
#include "transport/expert_channel.h"

namespace tandem::expert_worker {

inline constexpr int kTestLayers = 3;
inline constexpr int kTestExperts = 5;
inline constexpr int kTestHidden = 24;
inline constexpr int kTestIntermediate = 40;

// Weight i of matrix `matrix` (0 gate, 1 up, 2 down) of an expert, in [-0.5, 0.5).
float TestWeight(int layer, int expert, int matrix, int64_t i);

std::unique_ptr<compute::Backend> TestBackend(int num_threads);

// INVALID_ARGUMENT outside of the test model.
ExpertLoader TestLoader(compute::Backend& backend, compute::DType weight_dtype);

std::vector<LayerExpert> AllTestExperts();

transport::ModelIdentity TestModel(compute::DType wire_dtype);

// `num_rows` random rows; each row asks for 1 … kTestExperts random experts.
transport::DispatchFrame RandomFrame(uint64_t seed, int layer, int num_rows, compute::DType dtype);

// Output of an expert for one float32 row, in plain double arithmetic.
std::vector<double> ReferenceMlp(int layer, int expert, const float* row);

}  // namespace tandem::expert_worker
